//! Bodies that end when the server shuts down.
//!
//! Health watches and reflection streams have no end of their own; waiting for them would extend
//! every shutdown to the whole grace period. Their answers end, and so do their requests: a handler
//! that still reads a request keeps its HTTP/2 stream open, and with it the connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::status::{Reason, trailers, unavailable};

pin_project_lite::pin_project! {
    /// A body that ends when a token is cancelled and no frame is ready. Without a token it is the
    /// body inside.
    pub(super) struct UntilShutdown<B> {
        #[pin]
        inner: Option<B>,
        shutdown: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        trailers: Option<HeaderMap>,
    }
}

impl<B> UntilShutdown<B> {
    /// The body of a request. It ends as if the client had sent everything.
    pub(super) fn request(inner: B, shutdown: Option<CancellationToken>) -> Self {
        Self {
            inner: Some(inner),
            shutdown: shutdown.map(|token| Box::pin(token.cancelled_owned())),
            trailers: None,
        }
    }

    /// The body of an answer. It ends with UNAVAILABLE.
    pub(super) fn answer(inner: B, shutdown: Option<CancellationToken>) -> Self {
        let trailers = shutdown.is_some().then(|| {
            let status = unavailable("the server is shutting down").reason(Reason::Draining);
            trailers(&status.build())
        });
        Self {
            trailers,
            ..Self::request(inner, shutdown)
        }
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for UntilShutdown<B> {
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
        if let Poll::Ready(frame) = inner.poll_frame(cx) {
            return Poll::Ready(frame);
        }
        match this.shutdown {
            Some(shutdown) => shutdown.as_mut().poll(cx).map(|()| {
                this.inner.set(None);
                this.trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(trailers)))
            }),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref();
        inner.map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}
