//! Traces as the environment asks for them, in a process of their own: environment and logging
//! belong to a process.

use std::io::Read;
use std::process::Stdio;

use axum::routing::MethodRouter;
use bytes::Bytes;
use http::HeaderMap;
use motet_runtime::compression::CompressionService;
use motet_runtime::metrics::Metrics;
use motet_runtime::serve::{Protocol, ServeOptions};
use motet_runtime::telemetry::{self, LogFormat, Options};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::harness::{loopback, start};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";

/// A collector of both signals.
#[derive(Clone)]
struct Receiver {
    traces: mpsc::UnboundedSender<ExportTraceServiceRequest>,
    metrics: mpsc::UnboundedSender<ExportMetricsServiceRequest>,
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let _ = self.metrics.send(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let _ = self.traces.send(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a test of this file in a process with these variables; returns its stdout and stderr.
async fn run_child(name: &str, variables: &[(&str, &str)]) -> (String, String) {
    let exe = std::env::current_exe().expect("this test's binary");
    let mut command = Command::new(exe);
    command
        .args([
            &format!("telemetry::{name}"),
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env("RUST_LOG", "info")
        .stdin(Stdio::null());
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("OTEL_")) {
        command.env_remove(key);
    }
    let output = command
        .envs(variables.iter().copied())
        .output()
        .await
        .expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    assert!(output.status.success(), "{}", text(output.stderr));
    (text(output.stdout), text(output.stderr))
}

/// Returns the text that the child printed after this label.
fn printed<'s>(stdout: &'s str, label: &str) -> &'s str {
    let mut lines = stdout.lines();
    let line = lines.find_map(|line| line.split_once(label));
    line.expect("printed").1.trim()
}

/// Returns the parts of the traceparent that the handler would have sent on.
fn passed_on(stdout: &str) -> Vec<&str> {
    printed(stdout, "passed on: ").split('-').collect()
}

fn json_line(stderr: &str) -> serde_json::Value {
    let line = stderr
        .lines()
        .find(|line| line.contains("in the handler"))
        .expect("logged");
    serde_json::from_str(line).expect("JSON")
}

/// Not a test of its own: what the tests here run in another process.
#[tokio::test]
#[ignore = "run by the other tests here"]
async fn child() {
    let options = Options {
        service_name: "test-service".to_owned(),
        log_format: LogFormat::Json,
    };
    let telemetry = telemetry::init(&options).expect("telemetry begins");
    let server = start().await;
    let client = server.client().await;
    let header = format!("00-{TRACE_ID}-{PARENT_ID}-01");
    let answer = client
        .say_with("traceparent", "traceparent", &header)
        .await
        .expect("answers");
    println!("\npassed on: {answer}");
    client.say("panic").await.expect_err("it panics");
    server.shutdown.cancel();
    server.task.await.expect("ran");
    let metrics = Metrics::from_env("test-service").expect("metrics begin");
    metrics.model("minilm").expired(3);
    let shutdown = tokio::task::spawn_blocking(move || metrics.shutdown());
    shutdown.await.expect("ran");
    telemetry.shutdown().await;
}

/// Not a test of its own: requests whose callers began no trace.
#[tokio::test]
#[ignore = "run by the other tests here"]
async fn child_of_no_trace() {
    let options = Options {
        service_name: "test-service".to_owned(),
        log_format: LogFormat::Json,
    };
    let telemetry = telemetry::init(&options).expect("telemetry begins");
    let server = start().await;
    let client = server.client().await;
    let answer = client.say("traceparent").await.expect("answers");
    println!("\npassed on: {answer}");
    let answer = client.say("baggage").await.expect("answers");
    println!("\nwithout baggage: {answer}");
    let answer = client.say_with("baggage", "baggage", "k=1;p, l=%20").await;
    println!("\nwith baggage: {}", answer.expect("answers"));
    telemetry.shutdown().await;
}

#[tokio::test]
async fn a_trace_that_nobody_began_is_not_handed_on_and_baggage_is() {
    // Nothing listens there: the last spans of the process are lost, as they may be.
    let exporting = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ];
    for variables in [&[][..], &exporting] {
        let (stdout, _) = run_child("child_of_no_trace", variables).await;
        match variables {
            [] => assert_eq!(printed(&stdout, "passed on: "), "none"),
            // The decision of a process that exports holds for those behind it.
            _ => assert_eq!(passed_on(&stdout)[3], "00"),
        }
        assert_eq!(printed(&stdout, "without baggage: "), "none");
        assert_eq!(printed(&stdout, "with baggage: "), "k=1;p, l=%20");
    }
}

/// The exports that a collector received.
struct Received {
    traces: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
    metrics: mpsc::UnboundedReceiver<ExportMetricsServiceRequest>,
}

/// The routes of a collector by gRPC and by HTTP, and what comes in.
fn collector() -> (Routes, Received) {
    let (traces, received_traces) = mpsc::unbounded_channel();
    let (metrics, received_metrics) = mpsc::unbounded_channel();
    let receiver = Receiver { traces, metrics };
    let routes = Routes::new(TraceServiceServer::new(receiver.clone()))
        .add_service(MetricsServiceServer::new(receiver.clone()));
    let Receiver { traces, metrics } = receiver;
    let http = axum::Router::new()
        .route("/v1/traces", by_http(traces))
        .route("/v1/metrics", by_http(metrics));
    let received = Received {
        traces: received_traces,
        metrics: received_metrics,
    };
    (
        Routes::from(routes.into_axum_router().merge(http)),
        received,
    )
}

/// Takes one signal by HTTP: what OTLP says of method, type and answer.
fn by_http<M: Message + Default + 'static>(to: mpsc::UnboundedSender<M>) -> MethodRouter {
    let take = async move |headers: HeaderMap, body: Bytes| {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let message = match headers.get("content-encoding") {
            None => M::decode(body),
            Some(encoding) => {
                assert_eq!(encoding, "gzip");
                let mut expanded = Vec::new();
                let mut decoder = flate2::read::GzDecoder::new(&body[..]);
                decoder.read_to_end(&mut expanded).expect("gzip");
                M::decode(&expanded[..])
            }
        };
        let _ = to.send(message.expect("a message"));
        ([("content-type", "application/x-protobuf")], Bytes::new())
    };
    axum::routing::post(take)
}

#[tokio::test]
async fn a_request_is_one_span_under_its_callers_and_goes_out_by_otlp() {
    let protocol = "OTEL_EXPORTER_OTLP_PROTOCOL";
    let compression = ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    for variables in [
        &[][..],
        &[compression],
        &[(protocol, "http/protobuf")],
        &[(protocol, "http/protobuf"), compression],
    ] {
        let (routes, received) = collector();
        let options = ServeOptions {
            protocol: Protocol::Http,
            ..ServeOptions::default()
        };
        let server = motet_runtime::serve::Server::bind(loopback(), options);
        let server = server.await.expect("a free port");
        let endpoint = format!("http://{}", server.local_addr());
        let routes = motet_runtime::routes::LiveRoutes::new(routes);
        let routes = CompressionService::new(routes, 4 << 20);
        let _server = server.spawn(routes, CancellationToken::new());
        let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
        export_to(received, &[variables, &endpoint].concat()).await;
    }
}

/// With the certificate of the test's own authority. `tests/testdata` has how it was made.
#[cfg(feature = "tls")]
#[tokio::test]
async fn spans_go_out_over_tls() {
    use tonic::transport::{Identity, Server, ServerTlsConfig};

    let file = |name: &str| format!("{}/tests/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read(file(name)).expect("testdata");
    for protocol in ["grpc", "http/protobuf"] {
        let (routes, received) = collector();
        let listener = tokio::net::TcpListener::bind(loopback()).await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let identity = Identity::from_pem(read("localhost.pem"), read("localhost.key"));
        let server = Server::builder()
            .accept_http1(true)
            .tls_config(ServerTlsConfig::new().identity(identity))
            .expect("a certificate")
            .add_routes(routes);
        let connections = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tokio::spawn(server.serve_with_incoming(connections));
        let (endpoint, authority) = (format!("https://localhost:{port}"), file("authority.pem"));
        let variables = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority),
        ];
        export_to(received, &variables).await;
    }
}

/// Runs a process that exports under these variables, and checks what was received.
async fn export_to(received: Received, variables: &[(&str, &str)]) {
    let Received {
        traces: mut received,
        metrics: mut received_metrics,
    } = received;
    let (stdout, stderr) = run_child("child", variables).await;

    received.close();
    let mut spans: Vec<Span> = Vec::new();
    let mut services = Vec::new();
    while let Some(export) = received.recv().await {
        for resource in export.resource_spans {
            let attributes = resource.resource.expect("a resource").attributes;
            let name = attributes.into_iter().find(|a| a.key == "service.name");
            services.push(format!("{:?}", name.expect("a name").value));
            spans.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
    }
    assert!(
        services.iter().all(|name| name.contains("test-service")),
        "{services:?}"
    );
    assert_eq!(spans.len(), 2, "{spans:?}");
    let traced = spans
        .iter()
        .find(|span| hex(&span.trace_id) == TRACE_ID)
        .expect("the trace");
    assert_eq!(hex(&traced.parent_span_id), PARENT_ID);
    assert_eq!(traced.name, "test.TestService/Unary");
    let attributes: Vec<_> = traced.attributes.iter().map(|a| a.key.as_str()).collect();
    for key in [
        "rpc.system",
        "rpc.service",
        "rpc.method",
        "rpc.grpc.status_code",
    ] {
        assert!(attributes.contains(&key), "{key} in {attributes:?}");
    }
    let failed = spans
        .iter()
        .find(|span| span.parent_span_id.is_empty())
        .expect("the other");
    assert_eq!(
        failed.status.as_ref().expect("a status").code,
        2,
        "an error"
    );

    let passed_on = passed_on(&stdout);
    assert_eq!(passed_on[1..], [TRACE_ID, &hex(&traced.span_id), "01"]);
    // Series that end, such as a model's, come apart from the others.
    let mut sent = String::new();
    for _ in 0..2 {
        sent += &format!("{:?}", received_metrics.recv().await.expect("metrics came"));
    }
    for expected in [
        "motet.queue.expired",
        "minilm",
        "motet.build.info",
        "test-service",
    ] {
        assert!(sent.contains(expected), "{expected} in {sent}");
    }
    let line = json_line(&stderr);
    assert_eq!(line["trace_id"], TRACE_ID);
    assert_eq!(line["level"], "INFO");
}

#[tokio::test]
async fn without_an_exporter_the_trace_still_passes_through() {
    for variables in [
        &[][..],
        &[
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "otlp"),
        ],
    ] {
        let (stdout, stderr) = run_child("child", variables).await;
        let passed_on = passed_on(&stdout);
        assert_eq!(
            (passed_on[1], passed_on[2], passed_on[3]),
            (TRACE_ID, PARENT_ID, "01"),
            "{variables:?}"
        );
        assert_eq!(json_line(&stderr)["trace_id"], TRACE_ID);
    }
}
