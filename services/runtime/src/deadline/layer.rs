//! The server layer that enforces `grpc-timeout`, also while an answer is streaming.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::{Deadline, GRPC_TIMEOUT, exceeded, parse_timeout};

/// Puts a [`Deadline`] into the extensions of every request that carries `grpc-timeout`. When it passes, what runs for
/// the request is dropped and the caller gets DEADLINE_EXCEEDED: as a whole answer if nothing was sent yet, as trailers
/// if an answer is already streaming. A malformed header gets INVALID_ARGUMENT.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService { inner }
    }
}

/// See [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(header) = request.headers().get(GRPC_TIMEOUT) else {
            return DeadlineFuture::running(self.inner.call(request), None);
        };
        let timeout = match parse_timeout(header.as_bytes()) {
            Ok(timeout) => timeout,
            Err(error) => {
                let status = crate::status::invalid_argument(GRPC_TIMEOUT, error.to_string());
                return DeadlineFuture::refused(status.into());
            }
        };
        if timeout.is_zero() {
            return DeadlineFuture::refused(exceeded(Some(timeout)));
        }
        let deadline = Deadline::after(Instant::now(), timeout);
        request.extensions_mut().insert(deadline);
        let alarm = Alarm {
            sleep: Box::pin(tokio::time::sleep_until(deadline.instant())),
            timeout,
        };
        DeadlineFuture::running(self.inner.call(request), Some(alarm))
    }
}

/// The time by which a call must end, and how much it was given.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    timeout: Duration,
}

impl Alarm {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        self.sleep
            .as_mut()
            .poll(cx)
            .map(|()| exceeded(Some(self.timeout)))
    }
}

pin_project_lite::pin_project! {
    /// The future of [`DeadlineService`].
    pub struct DeadlineFuture<F> {
        #[pin]
        inner: Option<F>,
        alarm: Option<Alarm>,
        refused: Option<Status>,
    }
}

impl<F> DeadlineFuture<F> {
    fn running(inner: F, alarm: Option<Alarm>) -> Self {
        Self {
            inner: Some(inner),
            alarm,
            refused: None,
        }
    }

    fn refused(status: Status) -> Self {
        Self {
            inner: None,
            alarm: None,
            refused: Some(status),
        }
    }
}

impl<F, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut()
            && let Poll::Ready(answer) = inner.poll(cx)
        {
            let alarm = this.alarm.take();
            return Poll::Ready(answer.map(|response| match alarm {
                Some(alarm) if !response.body().is_end_stream() => {
                    response.map(|body| Body::new(DeadlineBody::new(body, alarm)))
                }
                _ => response,
            }));
        }
        if let Some(status) = this.refused.take() {
            return Poll::Ready(Ok(status.into_http()));
        }
        match this.alarm {
            Some(alarm) => alarm.poll(cx).map(|status| {
                this.inner.set(None); // whatever ran for this call stops here
                Ok(status.into_http())
            }),
            None => Poll::Pending,
        }
    }
}

/// A streaming answer that ends with DEADLINE_EXCEEDED when its deadline passes.
pub struct DeadlineBody {
    inner: Option<Body>,
    alarm: Alarm,
}

impl DeadlineBody {
    fn new(inner: Body, alarm: Alarm) -> Self {
        Self {
            inner: Some(inner),
            alarm,
        }
    }
}

impl HttpBody for DeadlineBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        this.alarm.poll(cx).map(|status| {
            this.inner = None; // whatever produced this stream stops here
            let mut trailers = HeaderMap::new();
            Some(match status.add_header(&mut trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(status) => Err(status),
            })
        })
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
