//! Streams that end when the server drains.
//!
//! Health watches and reflection streams have no end of their own; waiting for them would hold every shutdown until the
//! grace period is over. Their answers end, and so do their requests: a handler that still reads a request keeps its
//! HTTP/2 stream open, and with it the connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pin_project_lite::pin_project! {
    /// A body that ends once `stop` is cancelled, if it has one and has nothing more to say just then.
    pub(super) struct Ending<B> {
        #[pin]
        inner: Option<B>,
        stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        trailers: Option<HeaderMap>,
    }
}

impl<B> Ending<B> {
    /// The body of a request: it ends as if the client had sent all.
    pub(super) fn request(inner: B, stop: Option<CancellationToken>) -> Self {
        Self {
            inner: Some(inner),
            stop: stop.map(|stop| Box::pin(stop.cancelled_owned())),
            trailers: None,
        }
    }

    /// The body of an answer: it ends with UNAVAILABLE.
    pub(super) fn answer(inner: B, stop: Option<CancellationToken>) -> Self {
        let trailers = stop.is_some().then(|| {
            let status = crate::status::unavailable("the server is shutting down").build();
            let mut trailers = HeaderMap::new();
            // Only a message that does not fit a header can fail, and this one does.
            let _ = status.add_header(&mut trailers);
            trailers
        });
        Self {
            trailers,
            ..Self::request(inner, stop)
        }
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for Ending<B> {
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
        match this.stop {
            Some(stop) => stop.as_mut().poll(cx).map(|()| {
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
