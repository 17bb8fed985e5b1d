//! The skeleton of a layer: one tower service, future and body for all of them.
//!
//! A gRPC call ends with its trailers, long after the handler's future has returned when the answer
//! is a stream, or it is dropped because the client went away. What a layer holds for a call (a
//! permit, a span, a timer) must last until then. A [`CallLayer`] makes one [`CallHooks`] per call,
//! which travels from the future into the body of the answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

/// A layer: what it does with a request before the service inside sees it. `B` is the request's
/// body.
pub trait CallLayer<B> {
    /// The hooks of the layer for one call.
    type Hooks: CallHooks;

    /// Called with each request. `None` lets the call pass by the layer.
    ///
    /// # Errors
    /// The status that answers the request instead of the service inside.
    fn begin(&self, request: &mut Request<B>) -> Result<Option<Self::Hooks>, Status>;
}

/// Hooks of a layer for one call. Dropping it before [`CallHooks::end`] means that the call was
/// dropped.
pub trait CallHooks {
    /// Runs one step of the call: calling the service, polling its future, polling its answer.
    ///
    /// # Errors
    /// The status that ends the call; what runs for it is dropped.
    fn step<T>(&mut self, step: impl FnOnce() -> T) -> Result<T, Status> {
        Ok(step())
    }

    /// Called when a step is pending. Ready with the status that ends the call; what runs for it is
    /// dropped.
    fn poll_end(&mut self, _cx: &mut Context<'_>) -> Poll<Status> {
        Poll::Pending
    }

    /// Called with the headers of the answer, and with its trailers. `grpc-status` is among them
    /// where they end the call.
    fn headers(&mut self, _headers: &mut HeaderMap) {}

    /// Called when the call has ended with this code.
    fn end(&mut self, _code: Code) {}
}

/// A service with a layer around it.
#[derive(Clone, Debug)]
pub struct Layered<L, S> {
    layer: L,
    inner: S,
}

impl<L, S> Layered<L, S> {
    /// Puts `layer` around `service`.
    pub fn new(layer: L, service: S) -> Self {
        Self {
            layer,
            inner: service,
        }
    }
}

impl<L, S, B> Service<Request<B>> for Layered<L, S>
where
    L: CallLayer<B>,
    L::Hooks: Send + Unpin + 'static,
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = LayeredFuture<S::Future, L::Hooks>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let begun = self.layer.begin(&mut request);
        let (inner, hooks) = match begun {
            Ok(None) => (Ok(self.inner.call(request)), None),
            Ok(Some(mut hooks)) => {
                let inner = hooks.step(|| self.inner.call(request));
                (inner, Some(hooks))
            }
            Err(status) => (Err(status), None),
        };
        match inner {
            Ok(inner) => LayeredFuture {
                inner: Some(inner),
                hooks,
                refusal: None,
            },
            Err(status) => LayeredFuture {
                inner: None,
                hooks,
                refusal: Some(status),
            },
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Layered`].
    pub struct LayeredFuture<F, H> {
        #[pin]
        inner: Option<F>,
        hooks: Option<H>,
        refusal: Option<Status>,
    }
}

impl<F, E, H> Future for LayeredFuture<F, H>
where
    F: Future<Output = Result<Response<Body>, E>>,
    H: CallHooks + Send + Unpin + 'static,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let status = match (this.inner.as_mut().as_pin_mut(), this.hooks.as_mut()) {
            (Some(inner), None) => return inner.poll(cx),
            (Some(inner), Some(hooks)) => match hooks.step(|| inner.poll(cx)) {
                Ok(Poll::Ready(answer)) => {
                    let hooks = this.hooks.take();
                    return Poll::Ready(answer.map(|response| match hooks {
                        Some(hooks) => answered(response, hooks),
                        None => response,
                    }));
                }
                Ok(Poll::Pending) => match hooks.poll_end(cx) {
                    Poll::Ready(status) => status,
                    Poll::Pending => return Poll::Pending,
                },
                Err(status) => status,
            },
            (None, _) => match this.refusal.take() {
                Some(status) => status,
                None => return Poll::Pending, // polled after the answer
            },
        };
        this.inner.set(None);
        if let Some(mut hooks) = this.hooks.take() {
            hooks.end(status.code());
        }
        Poll::Ready(Ok(status.into_http()))
    }
}

/// The answer with the hooks in its body, unless its headers end the call.
fn answered<H>(mut response: Response<Body>, mut hooks: H) -> Response<Body>
where
    H: CallHooks + Send + Unpin + 'static,
{
    hooks.headers(response.headers_mut());
    let ended = match code_of(response.headers()) {
        Some(code) => Some(code),
        None => response.body().is_end_stream().then_some(Code::Ok),
    };
    if let Some(code) = ended {
        hooks.end(code);
        return response;
    }
    response.map(|body| Body::new(HookedBody::new(body, Some(hooks))))
}

/// The gRPC code in these headers or trailers.
pub(crate) fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers
        .get("grpc-status")
        .map(|value| Code::from_bytes(value.as_bytes()))
}

pin_project_lite::pin_project! {
    /// The body of an answer with hooks. They are dropped when it ends.
    pub(crate) struct HookedBody<B, H> {
        #[pin]
        inner: Option<B>,
        hooks: Option<H>,
    }
}

impl<B, H> HookedBody<B, H> {
    pub(crate) fn new(body: B, hooks: Option<H>) -> Self {
        Self {
            inner: Some(body),
            hooks,
        }
    }
}

impl<B, H> HttpBody for HookedBody<B, H>
where
    B: HttpBody<Data = Bytes>,
    H: CallHooks + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let Some(hooks) = this.hooks.as_mut() else {
            return inner.poll_frame(cx);
        };
        let status = match hooks.step(|| inner.poll_frame(cx)) {
            Ok(Poll::Ready(mut frame)) => {
                let ended = match &mut frame {
                    Some(Ok(frame)) => frame.trailers_mut().map(|trailers| {
                        hooks.headers(trailers);
                        code_of(trailers).unwrap_or(Code::Unknown)
                    }),
                    Some(Err(_)) => Some(Code::Unknown),
                    None => Some(Code::Ok),
                };
                if let Some(code) = ended {
                    hooks.end(code);
                    *this.hooks = None;
                }
                return Poll::Ready(frame);
            }
            Ok(Poll::Pending) => match hooks.poll_end(cx) {
                Poll::Ready(status) => status,
                Poll::Pending => return Poll::Pending,
            },
            Err(status) => status,
        };
        hooks.end(status.code());
        *this.hooks = None;
        this.inner.set(None); // what produced this stream stops here
        let trailers = crate::status::trailers(&status);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref();
        inner.map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}
