//! Benchmark of the latency that the gateway adds to a call:
//! `cargo run --release -p motet-gateway --example overhead`.
//!
//! An echo model answers over TCP directly, and behind a gateway in the same process, in pipelines
//! of one and two calls. Rounds of all variants alternate, so that other load on the machine
//! affects them equally. Then graphs of 100 trivial nodes are run, without gRPC.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use motet_config::{Colour, Diagnostics, Sources};
use motet_gateway::check::{self, CheckedPipeline, SignatureError, SignatureSource};
use motet_gateway::exec::{self, OutputSelection, RequestLimits};
use motet_gateway::model::Backend;
use motet_gateway::plan::Plan;
use motet_gateway::serve::{Gateway, GatewayParts};
use motet_gateway::syntax;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{self, Encoding};
use motet_proto::signature::{Port, Signature};
use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::health::Health;
use motet_runtime::layers;
use motet_runtime::limits::Admission;
use motet_runtime::metrics::Metrics;
use motet_runtime::serve::{Protocol, ServeOptions, Server};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

type AnyError = Box<dyn Error + Send + Sync>;

const MESSAGE_BYTES_MAX: usize = 64 << 20;
const ROUNDS: usize = 20;

/// Returns its input `x` as the output `y`.
#[derive(Clone)]
struct Echo;

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let codec = ProstCodec::<ModelInferResponse, ModelInferRequest>::default();
        let mut grpc = Grpc::new(codec)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Box::pin(async move { Ok(grpc.unary(Echo, request).await) })
    }
}

impl UnaryService<ModelInferRequest> for Echo {
    type Response = ModelInferResponse;
    type Future = std::future::Ready<Result<Response<ModelInferResponse>, Status>>;

    fn call(&mut self, request: Request<ModelInferRequest>) -> Self::Future {
        let mut request = request.into_inner();
        let mut response = ModelInferResponse::default();
        std::future::ready(match oip::take_inputs(&mut request) {
            Ok((inputs, _)) => {
                let named = inputs.iter().map(|(_, tensor)| ("y", tensor));
                oip::put_outputs(&mut response, named, Encoding::Raw);
                Ok(Response::new(response))
            }
            Err(error) => Err(Status::internal(error.to_string())),
        })
    }
}

/// The same echo without encoding, as the gateway calls a model of its own process.
#[derive(Clone)]
struct EchoMethod;

impl tower::Service<Request<ModelInferRequest>> for EchoMethod {
    type Response = Response<ModelInferResponse>;
    type Error = Status;
    type Future = std::future::Ready<Result<Response<ModelInferResponse>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ModelInferRequest>) -> Self::Future {
        UnaryService::call(&mut Echo, request)
    }
}

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "inference.GRPCInferenceService";
}

/// Signatures of models that map `x: float[N]` to `y: float[N]`.
struct Signatures;

impl SignatureSource for Signatures {
    fn model(&self, _: &str) -> Result<Arc<Signature>, SignatureError> {
        let ty = || "float[N]".parse();
        let (Ok(x), Ok(y)) = (ty(), ty()) else {
            return Err(SignatureError::Mistaken);
        };
        Ok(Arc::new(Signature {
            inputs: vec![Port::new("x", x)],
            outputs: vec![Port::new("y", y)],
            parameters: Vec::new(),
        }))
    }
}

fn checked(yaml: &str) -> Result<CheckedPipeline, AnyError> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add("overhead", "", yaml);
    motet_config::parse(&sources, file, &mut diagnostics)
        .and_then(|root| syntax::parse(&root, &mut diagnostics))
        .and_then(|spec| check::check(&spec, &Signatures, &mut diagnostics))
        .ok_or_else(|| diagnostics.render(&sources, Colour::Never).into())
}

/// Returns a pipeline of `calls` calls, one after the other.
fn chain(name: &str, calls: usize) -> String {
    let mut text = format!("pipeline: {name}\ninputs: {{ x: \"float[N]\" }}\nnodes:\n");
    let mut before = "$x".to_owned();
    for i in 0..calls {
        text.push_str(&format!(
            "  n{i}: {{ model: echo, in: {{ x: {before} }} }}\n"
        ));
        before = format!("$n{i}.y");
    }
    text + &format!("outputs: {{ y: {before} }}\n")
}

/// Returns a pipeline of 100 trivial nodes, in a chain or in parallel.
fn trivial(side_by_side: bool) -> String {
    let mut text = String::from("pipeline: trivial\ninputs: { x: \"float[N]\" }\nnodes:\n");
    for i in 0..100 {
        let from = match i {
            0 => "$x".to_owned(),
            _ if side_by_side => "$x".to_owned(),
            i => format!("$n{}.y", i - 1),
        };
        text.push_str(&format!("  n{i}: {{ op: select, in: {{ y: {from} }} }}\n"));
    }
    let outputs: Vec<String> = if side_by_side {
        (0..100).map(|i| format!("y{i}: $n{i}.y")).collect()
    } else {
        vec!["y: $n99.y".to_owned()]
    };
    text + &format!("outputs: {{ {} }}\n", outputs.join(", "))
}

fn serve_options() -> ServeOptions {
    ServeOptions {
        protocol: Protocol::Grpc,
        ..ServeOptions::default()
    }
}

async fn serve_gateway(shutdown: &CancellationToken) -> Result<SocketAddr, AnyError> {
    let metrics = Metrics::new("overhead")?;
    let gateway = Gateway::new(GatewayParts {
        models: vec![Backend::local("echo", Echo, MESSAGE_BYTES_MAX).with_method(EchoMethod)],
        model_service: None,
        signatures: Arc::new(Signatures),
        pipelines: vec![checked(&chain("one", 1))?, checked(&chain("two", 2))?],
        unseen: Default::default(),
        endpoints: std::sync::Arc::new(motet_gateway::grpc::Endpoints::new([], MESSAGE_BYTES_MAX)),
        message_bytes_max: MESSAGE_BYTES_MAX,
        metrics: metrics.clone(),
        health: Health::new(),
    })?;
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), serve_options()).await?;
    let address = server.local_addr();
    let stack = layers::stack(
        gateway.routes(),
        layers::Guards::default(),
        Admission::new(1024),
        &metrics,
        MESSAGE_BYTES_MAX,
    );
    drop(server.spawn(stack, shutdown.clone()));
    Ok(address)
}

async fn serve_echo(shutdown: &CancellationToken) -> Result<SocketAddr, AnyError> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let until = shutdown.clone().cancelled_owned();
    let router = tonic::transport::Server::builder().add_service(Echo);
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, until));
    Ok(address)
}

async fn connect(address: SocketAddr) -> Result<GrpcInferenceServiceClient<Channel>, AnyError> {
    let channel = Channel::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect()
        .await?;
    Ok(GrpcInferenceServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX))
}

fn request(model: &str, tensor: &Tensor) -> ModelInferRequest {
    let mut request = ModelInferRequest {
        model_name: model.to_owned(),
        ..Default::default()
    };
    oip::put_inputs(&mut request, [("x", tensor)]);
    request
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

async fn wire(kilobytes: usize, calls: usize) -> Result<(), AnyError> {
    let shutdown = CancellationToken::new();
    let mut echo = connect(serve_echo(&shutdown).await?).await?;
    let mut gateway = connect(serve_gateway(&shutdown).await?).await?;
    let values = vec![0.5f32; kilobytes * 256];
    let tensor = Tensor::from_values(vec![values.len()], values)?;
    let variants = ["echo", "one", "two"];
    let mut times = vec![Vec::new(); variants.len()];
    for round in 0..=ROUNDS {
        for (variant, times) in variants.iter().zip(&mut times) {
            for _ in 0..calls {
                let request = request(variant, &tensor);
                let client = if *variant == "echo" {
                    &mut echo
                } else {
                    &mut gateway
                };
                let started = Instant::now();
                client.model_infer(request).await?;
                // The first round warms up.
                if round > 0 {
                    times.push(started.elapsed());
                }
            }
        }
    }
    shutdown.cancel();
    let [echo, one, two] = [0, 1, 2].map(|i| median(&mut times[i]));
    let us = |d: Duration| d.as_secs_f64() * 1e6;
    println!(
        "{kilobytes:>5} KB  bare echo {:>8.1} us   one call {:>8.1} us ({:.2} x)   \
         two calls {:>8.1} us ({:.2} x)   a chain of two adds {:>7.1} us, \
         its second call {:>7.1} us",
        us(echo),
        us(one),
        us(one) / us(echo),
        us(two),
        us(two) / us(echo),
        us(two) - us(echo),
        us(two) - us(one),
    );
    Ok(())
}

async fn graph(name: &str, yaml: &str) -> Result<(), AnyError> {
    let metrics = Metrics::new("overhead")?;
    let plan = Plan::new(checked(yaml)?, |_: &str| None, &metrics)?;
    let tensor = Tensor::from_values(vec![4], vec![0.5f32; 4])?;
    let mut times = Vec::new();
    for _ in 0..2000 {
        let inputs = exec::bind_inputs(&plan, vec![Some(tensor.clone())])
            .map_err(|mistakes| exec::violation_status("trivial", &mistakes))?;
        let limits = RequestLimits {
            deadline: Deadline::within(Duration::from_secs(10)),
            priority: None,
        };
        let started = Instant::now();
        exec::run(&plan, inputs, OutputSelection::All, limits).await?;
        times.push(started.elapsed());
    }
    let nodes = plan.pipeline.nodes.len();
    let each = median(&mut times).as_nanos() / nodes as u128;
    println!("{nodes} nodes {name}: {each} ns a node");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    println!("medians of interleaved calls over loopback TCP, one caller:");
    wire(1, 100).await?;
    wire(1024, 20).await?;
    println!("without a wire:");
    graph("one after the other", &trivial(false)).await?;
    graph("side by side", &trivial(true)).await?;
    Ok(())
}
