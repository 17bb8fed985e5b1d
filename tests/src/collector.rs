//! A receiver of traces by OTLP inside the test process, over gRPC and HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;
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
    /// Certificates of clients, a connection each.
    clients: watch::Receiver<Vec<Vec<u8>>>,
    /// Number of times that all connections were closed.
    closed: watch::Sender<u32>,
}

/// Everything that a connection needs.
#[derive(Clone)]
struct Server {
    routes: Router,
    tls: Option<TlsAcceptor>,
    clients: watch::Sender<Vec<Vec<u8>>>,
    closed: watch::Receiver<u32>,
}

impl Server {
    async fn serve(self, stream: TcpStream) {
        let mut closed = self.closed.clone();
        // Those before this connection do not matter to it.
        closed.mark_unchanged();
        let answer = async {
            match &self.tls {
                None => self.answer(stream).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else {
                        return;
                    };
                    let (_, session) = stream.get_ref();
                    let shown = session.peer_certificates().and_then(|chain| chain.first());
                    let shown = shown.map(|certificate| certificate.to_vec());
                    self.clients.send_modify(|clients| clients.extend(shown));
                    self.answer(stream).await;
                }
            }
        };
        tokio::select! {
            () = answer => {}
            _ = closed.changed() => {}
        }
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S) {
        let service = TowerToHyperService::new(self.routes.clone());
        let builder = auto::Builder::new(TokioExecutor::new());
        // The client may close the connection at any time.
        let _ = builder
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }
}

impl Collector {
    /// Listens on a free port until the runtime of the test ends.
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// Listens with TLS.
    pub async fn start_tls(config: ServerConfig) -> Self {
        Self::listen(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (sender, spans) = watch::channel(Vec::new());
        let (seen, clients) = watch::channel(Vec::new());
        let (closed, closes) = watch::channel(0);
        let receiver = Receiver(sender.clone());
        let over_http = post(async move |body: Bytes| {
            let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
            receiver.take(request);
        });
        let routes = Routes::new(TraceServiceServer::new(Receiver(sender)));
        let server = Server {
            routes: routes.into_axum_router().route("/v1/traces", over_http),
            tls,
            clients: seen,
            closed: closes,
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        Self {
            address,
            spans,
            clients,
            closed,
        }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes all connections.
    pub fn disconnect(&self) {
        self.closed.send_modify(|closed| *closed += 1);
    }

    /// Returns the certificates that clients have shown so far, a connection each.
    pub fn clients(&self) -> Vec<Vec<u8>> {
        self.clients.borrow().clone()
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

#[derive(Clone, Debug)]
struct Receiver(watch::Sender<Vec<Span>>);

impl Receiver {
    fn take(&self, request: ExportTraceServiceRequest) {
        let spans: Vec<Span> = request
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
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request.into_inner());
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
