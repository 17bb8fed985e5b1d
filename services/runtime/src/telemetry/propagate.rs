//! W3C trace context in and out, and the span of each request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use http::{HeaderMap, Request, Response};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tonic::body::Body;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tower::{Layer, Service};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::body::{OnEnd, watch};
use crate::limits::is_exempt;

/// Writes the current span's trace context into the metadata of an outgoing request.
pub fn inject(metadata: &mut MetadataMap) {
    inject_span(&Span::current(), metadata);
}

/// Writes this span's trace context into the metadata of an outgoing request.
pub fn inject_span(span: &Span, metadata: &mut MetadataMap) {
    let context = span.context();
    TraceContextPropagator::new().inject_context(&context, &mut Outgoing(metadata));
}

/// The id of the trace that the current span belongs to, in hexadecimal; nothing outside a trace.
pub fn current_trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// The trace context that a request's headers carry; an empty one where they carry none, or none that is valid.
pub fn extract(headers: &HeaderMap) -> Context {
    // Not on top of the current context: a request has no other parent than the one it names.
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Incoming(headers))
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct Outgoing<'a>(&'a mut MetadataMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return; // an empty tracestate says nothing
        }
        if let (Ok(key), Ok(value)) = (
            MetadataKey::from_bytes(key.as_bytes()),
            MetadataValue::try_from(value),
        ) {
            self.0.insert(key, value);
        }
    }
}

/// The name of the span of a whole request.
pub(super) const REQUEST_SPAN: &str = "request";

/// Opens the span `request` around each call, as a child of the caller's `traceparent`. It lasts until the answer has
/// been sent to the end. Health and reflection have no span.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> TraceService<S> {
        TraceService { inner }
    }
}

/// See [`TraceLayer`].
#[derive(Clone, Debug)]
pub struct TraceService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for TraceService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = request_span(&request);
        let inner = {
            let _entered = span.enter();
            self.inner.call(request)
        };
        let end = (!span.is_disabled()).then(|| SpanEnd::new(span.clone()));
        TraceFuture { inner, span, end }
    }
}

fn request_span<B>(request: &Request<B>) -> Span {
    let path = request.uri().path();
    if is_exempt(path) {
        return Span::none();
    }
    let name = path.trim_start_matches('/');
    let (service, method) = name.rsplit_once('/').unwrap_or((name, ""));
    let span = tracing::info_span!(
        REQUEST_SPAN,
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = Empty,
    );
    if !span.is_disabled() {
        // Fails only where no OpenTelemetry layer listens: then there is no trace to join.
        let _ = span.set_parent(extract(request.headers()));
    }
    span
}

/// Writes the code a call ended with into its span.
struct SpanEnd(OnEnd<Box<dyn FnOnce(Code) + Send>>);

impl SpanEnd {
    fn new(span: Span) -> Self {
        Self(OnEnd::new(Box::new(move |code| {
            span.record("rpc.grpc.status_code", code as i32);
            if is_server_fault(code) {
                span.record("otel.status_code", "ERROR");
            }
        })))
    }
}

/// The codes that OpenTelemetry's conventions count as a failure of the server, not of its caller.
fn is_server_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

pin_project_lite::pin_project! {
    /// The future of [`TraceService`].
    pub struct TraceFuture<F> {
        #[pin]
        inner: F,
        span: Span,
        end: Option<SpanEnd>,
    }
}

impl<F, E> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = {
            let _entered = this.span.enter();
            ready!(this.inner.poll(cx))
        };
        let end = this.end.take();
        let span = this.span.clone();
        Poll::Ready(answer.map(|response| match end {
            Some(SpanEnd(on_end)) => watch(response, on_end, span).map(Body::new),
            None => response,
        }))
    }
}
