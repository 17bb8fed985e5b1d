//! W3C trace context: read from requests, written to outgoing calls, and the span of each request.
//!
//! A process that exports spans is a part of the trace: outgoing calls name its span as their
//! parent. A process that exports none hands on what the caller sent, unchanged: a `traceparent` of
//! its own would name a span that nobody can find, and, where the caller sent none, would tell the
//! next service not to sample. `baggage` is handed on in both cases.

use http::{HeaderMap, Request};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::is_exporting;
use crate::layers::call::{CallHooks, CallLayer, Layered};
use crate::limits::is_exempt;

/// The header of W3C baggage.
const BAGGAGE: &str = "baggage";
/// The largest baggage that is handed on, in bytes: what W3C asks every participant to support.
const BAGGAGE_BYTES_MAX: usize = 8192;

/// The caller's span, in the context of a request span that is not exported.
struct CallerSpan(SpanContext);

/// The caller's baggage.
struct Baggage(MetadataValue<Ascii>);

/// Writes the current span's trace context into the metadata of an outgoing request.
pub fn inject(metadata: &mut MetadataMap) {
    inject_span(&Span::current(), metadata);
}

/// Writes this span's trace context into the metadata of an outgoing request.
pub fn inject_span(span: &Span, metadata: &mut MetadataMap) {
    let context = span.context();
    if let Some(Baggage(baggage)) = context.get() {
        metadata.insert(BAGGAGE, baggage.clone());
    }
    if is_exporting() {
        TraceContextPropagator::new().inject_context(&context, &mut Outgoing(metadata));
    } else if let Some(CallerSpan(caller)) = context.get() {
        let context = Context::new().with_remote_span_context(caller.clone());
        TraceContextPropagator::new().inject_context(&context, &mut Outgoing(metadata));
    }
}

/// The hexadecimal id of the trace that the current span belongs to; `None` outside a trace.
pub fn current_trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// The trace context in a request's headers; an empty one if they hold none that is valid.
pub fn extract(headers: &HeaderMap) -> Context {
    // Not on top of the current context: a request has no other parent than the one it names.
    let none = Context::new();
    let mut context = match headers.contains_key("traceparent") {
        true => TraceContextPropagator::new().extract_with_context(&none, &Incoming(headers)),
        false => none,
    };
    if !is_exporting() && context.has_active_span() {
        let caller = context.span().span_context().clone();
        context = context.with_value(CallerSpan(caller));
    }
    match baggage(headers) {
        Some(baggage) => context.with_value(Baggage(baggage)),
        None => context,
    }
}

/// The baggage in these headers; several lines of it are one list.
fn baggage(headers: &HeaderMap) -> Option<MetadataValue<Ascii>> {
    headers.get(BAGGAGE)?; // most requests have none
    let lines: Vec<_> = headers
        .get_all(BAGGAGE)
        .iter()
        .map(|v| v.as_bytes())
        .collect();
    let list = lines.join(&b',');
    let fits = list.len() <= BAGGAGE_BYTES_MAX;
    MetadataValue::try_from(list).ok().filter(|_| fits)
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

/// Opens the span `request` around each call, as a child of the caller's `traceparent`. It lasts
/// until the answer has been sent completely. Health and reflection have no span.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer;

/// A service with a [`TraceLayer`] around it.
pub type TraceService<S> = Layered<TraceLayer, S>;

impl<B> CallLayer<B> for TraceLayer {
    type Hooks = RequestSpan;

    fn begin(&self, request: &mut Request<B>) -> Result<Option<RequestSpan>, Status> {
        let span = request_span(request);
        Ok((!span.is_disabled()).then_some(RequestSpan { span, ended: false }))
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
        // Fails only if no OpenTelemetry layer listens: then there is no trace to join.
        let _ = span.set_parent(extract(request.headers()));
    }
    span
}

/// The span of one call.
pub struct RequestSpan {
    span: Span,
    ended: bool,
}

impl CallHooks for RequestSpan {
    fn step<T>(&mut self, step: impl FnOnce() -> T) -> Result<T, Status> {
        Ok(self.span.in_scope(step))
    }

    fn end(&mut self, code: Code) {
        self.ended = true;
        self.span.record("rpc.grpc.status_code", code as i32);
        if is_server_fault(code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Code::Cancelled);
        }
    }
}

/// `true` for the codes that OpenTelemetry's conventions count as failures of the server rather
/// than of its caller.
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn baggage_is_read_as_one_list() {
        let long = "k=".to_owned() + &"v".repeat(BAGGAGE_BYTES_MAX);
        let cases: &[(&[&str], Option<&str>)] = &[
            (&[], None),
            (&["a=1;p=q, b=%20"], Some("a=1;p=q, b=%20")),
            (&["a=1", "b=2"], Some("a=1,b=2")),
            (&[&long], None),
        ];
        for (lines, expected) in cases {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append(BAGGAGE, HeaderValue::from_str(line).expect("ascii"));
            }
            let found = baggage(&headers);
            let found = found.as_ref().map(|value| value.to_str().expect("ascii"));
            assert_eq!(found, *expected);
        }
    }
}
