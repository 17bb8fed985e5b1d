//! A response body that tells how the call ended.
//!
//! A gRPC call ends with its trailers, long after the handler's future has returned when the answer is a stream; and it
//! may end by being dropped, when the client goes away. Spans, in-flight counts and permits must last until then.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Code;
use tracing::Span;

/// Calls a function once, with the gRPC code a call ended with: [`Code::Cancelled`] when dropped before an end.
pub(crate) struct OnEnd<F: FnOnce(Code)>(Option<F>);

impl<F: FnOnce(Code)> OnEnd<F> {
    pub(crate) fn new(f: F) -> Self {
        Self(Some(f))
    }

    pub(crate) fn end(&mut self, code: Code) {
        if let Some(f) = self.0.take() {
            f(code);
        }
    }
}

impl<F: FnOnce(Code)> Drop for OnEnd<F> {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// The gRPC status in these headers or trailers, if there is one.
pub(crate) fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers
        .get("grpc-status")
        .map(|value| Code::from_bytes(value.as_bytes()))
}

pin_project_lite::pin_project! {
    /// A body with an [`OnEnd`]; its frames are made inside `span`.
    pub(crate) struct Watched<B, F: FnOnce(Code)> {
        #[pin]
        inner: B,
        on_end: OnEnd<F>,
        span: Span,
    }
}

/// Gives `response` a body that calls `on_end` when the call is over (at once where the headers already end it).
pub(crate) fn watch<B, F>(
    response: http::Response<B>,
    mut on_end: OnEnd<F>,
    span: Span,
) -> http::Response<Watched<B, F>>
where
    B: HttpBody,
    F: FnOnce(Code),
{
    if let Some(code) = code_of(response.headers()) {
        on_end.end(code);
    }
    response.map(|inner| Watched {
        inner,
        on_end,
        span,
    })
}

impl<B, F> HttpBody for Watched<B, F>
where
    B: HttpBody<Data = Bytes>,
    F: FnOnce(Code),
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let _entered = this.span.enter();
        let frame = ready!(this.inner.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.on_end.end(code_of(trailers).unwrap_or(Code::Unknown));
                }
            }
            Some(Err(_)) => this.on_end.end(Code::Unknown),
            None => this.on_end.end(Code::Ok),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
