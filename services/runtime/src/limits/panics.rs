//! A panic in a handler fails its call, not the connection and not the process.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::status::{Reason, internal};

/// Answers INTERNAL where a handler, or the stream it returned, panics. The panic's own text goes to the log, not to
/// the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct PanicLayer;

impl<S> Layer<S> for PanicLayer {
    type Service = PanicService<S>;

    fn layer(&self, inner: S) -> PanicService<S> {
        PanicService { inner }
    }
}

/// See [`PanicLayer`].
#[derive(Clone, Debug)]
pub struct PanicService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for PanicService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = PanicFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        let (inner, panic) = match inner {
            Ok(inner) => (Some(inner), None),
            Err(panic) => (None, Some(report(panic))),
        };
        PanicFuture { inner, panic }
    }
}

/// Logs a caught panic; the status for its caller. Unwind safety: what panicked is dropped at once and never used again.
fn report(panic: Box<dyn Any + Send>) -> Status {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text");
    tracing::error!(panic = text, "a request handler panicked");
    internal("the server failed on this request (a bug); see its log")
        .reason(Reason::Panic)
        .into()
}

pin_project_lite::pin_project! {
    /// The future of [`PanicService`].
    pub struct PanicFuture<F> {
        #[pin]
        inner: Option<F>,
        panic: Option<Status>,
    }
}

impl<F, E> Future for PanicFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
                Ok(poll) => {
                    return poll.map_ok(|response| {
                        if response.body().is_end_stream() {
                            return response;
                        }
                        response.map(|inner| Body::new(PanicBody { inner: Some(inner) }))
                    });
                }
                Err(panic) => {
                    this.inner.set(None);
                    return Poll::Ready(Ok(report(panic).into_http()));
                }
            }
        }
        match this.panic.take() {
            Some(status) => Poll::Ready(Ok(status.into_http())),
            None => Poll::Pending,
        }
    }
}

struct PanicBody {
    inner: Option<Body>,
}

impl HttpBody for PanicBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = self.inner.as_mut() else {
            return Poll::Ready(None);
        };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx))) {
            Ok(poll) => poll,
            Err(panic) => {
                self.inner = None;
                let mut trailers = HeaderMap::new();
                Poll::Ready(Some(match report(panic).add_header(&mut trailers) {
                    Ok(()) => Ok(Frame::trailers(trailers)),
                    Err(status) => Err(status),
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}
