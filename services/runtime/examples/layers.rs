//! Benchmark of the cost per request of telemetry and the server's layers, without a network.
//!
//! `cargo run --release -p motet-runtime --example layers`

use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use http::{Request, Response};
use motet_runtime::layers::{Guards, stack};
use motet_runtime::limits::Admission;
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use motet_runtime::telemetry::Telemetry;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};
use tracing_subscriber::layer::SubscriberExt;

const ROUNDS: usize = 9;
const CALLS: u32 = 20_000;

/// Answers at once.
#[derive(Clone)]
struct Empty;

impl NamedService for Empty {
    const NAME: &'static str = "test.Empty";
}

impl Service<Request<Body>> for Empty {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Ok(Status::ok("").into_http()))
    }
}

#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        black_box(batch);
        Ok(())
    }
}

fn request() -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("http://x/test.Empty/Call");
    let headers = request.headers_mut();
    headers.insert("grpc-timeout", http::HeaderValue::from_static("10S"));
    headers.insert(
        "traceparent",
        http::HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
    );
    request
}

async fn calls<S>(service: &S) -> Duration
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let begin = Instant::now();
    for _ in 0..CALLS {
        let answer = service.clone().oneshot(request()).await;
        drop(black_box(answer));
    }
    begin.elapsed() / CALLS
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let metrics = Metrics::new("overhead")?;
    let routes = LiveRoutes::new(Routes::new(Empty));
    let stacked = stack(
        routes.clone(),
        Guards::default(),
        Admission::new(100),
        &metrics,
        4 << 20,
    );
    let silent = Telemetry::from_provider(
        SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
            .build(),
    );
    let recording = Telemetry::from_provider(
        SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .build(),
    );
    let exporting = Telemetry::from_provider(
        SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_batch_exporter(Nowhere)
            .build(),
    );
    let call = metrics.pipeline("rag", "typed");
    let mut times: [Vec<Duration>; 6] = Default::default();
    for _ in 0..ROUNDS {
        // Interleaved, so that whatever else the machine does falls on all alike.
        times[0].push(runtime.block_on(calls(&routes)));
        times[1].push(runtime.block_on(calls(&stacked)));
        for (at, telemetry) in [(2, &silent), (3, &recording), (4, &exporting)] {
            let subscriber = tracing_subscriber::registry().with(telemetry.layer());
            let time =
                tracing::subscriber::with_default(subscriber, || runtime.block_on(calls(&stacked)));
            times[at].push(time);
        }
        let begin = Instant::now();
        for _ in 0..CALLS {
            call.record(black_box(Code::Ok), black_box(Duration::from_millis(3)));
        }
        times[5].push(begin.elapsed() / CALLS);
    }
    let names = [
        "routes alone",
        "all layers, no subscriber",
        "all layers, spans, no exporter (as shipped)",
        "all layers, spans recorded, no exporter",
        "all layers, spans exported in batches",
        "one CallMetrics::record",
    ];
    for (name, times) in names.iter().zip(times) {
        println!("{:>10.2?}  {name}", median(times));
    }
    Ok(())
}
