//! A receiver of traces by OTLP inside the test process.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::in_process::ANY_PORT;
use crate::program::Program;
use crate::wait::soon;

/// A span. Ids are in hexadecimal.
#[derive(Clone, Debug)]
pub struct Span {
    /// The `service.name` of the process.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its trace.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// The span above it; empty for a root.
    pub parent: String,
    /// The spans that it links to, as pairs of trace id and span id.
    pub links: Vec<(String, String)>,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Start and end, in nanoseconds.
    pub time: (u64, u64),
}

/// The receiver.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: watch::Receiver<Vec<Span>>,
}

impl Collector {
    /// Listens on a free port until the runtime of the test ends.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (sender, spans) = watch::channel(Vec::new());
        let service = TraceServiceServer::new(Receiver(sender));
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        Self { address, spans }
    }

    /// Sets the variables that make a program send its traces here.
    pub fn attach(&self, program: Program) -> Program {
        program
            .env(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", self.address),
            )
            .env("OTEL_METRICS_EXPORTER", "none")
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
    }

    /// Waits until the spans received so far fulfil a condition, and returns them.
    pub async fn until(&self, what: &str, fulfilled: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let mut spans = self.spans.clone();
        let spans = soon(what, spans.wait_for(|spans| fulfilled(spans))).await;
        spans.expect("the receiver lives").clone()
    }
}

#[derive(Debug)]
struct Receiver(watch::Sender<Vec<Span>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans: Vec<Span> = request
            .into_inner()
            .resource_spans
            .into_iter()
            .flat_map(|resource| {
                let attributes = resource.resource.unwrap_or_default().attributes;
                let service = texts(attributes).remove("service.name").unwrap_or_default();
                let scopes = resource.scope_spans.into_iter();
                let spans: Vec<_> = scopes.flat_map(|scope| scope.spans).collect();
                spans
                    .into_iter()
                    .map(move |span| read(span, service.clone()))
            })
            .collect();
        self.0.send_modify(|all| all.extend(spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn read(span: opentelemetry_proto::tonic::trace::v1::Span, service: String) -> Span {
    let links = span.links.iter();
    Span {
        service,
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        attributes: texts(span.attributes),
        time: (span.start_time_unix_nano, span.end_time_unix_nano),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = attributes.into_iter();
    attributes.map(|a| (a.key, text(a.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
