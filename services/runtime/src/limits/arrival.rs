//! How long a request's message may take to come: a call holds its place from its headers on, and a message that never comes would
//! hold it for ever.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use crate::status::{Reason, deadline_exceeded};

/// Whether the caller of this method may go on sending for as long as it likes.
pub(super) fn is_stream(path: &str) -> bool {
    path.ends_with("Stream") || path.ends_with("/ModelStreamInfer")
}

/// The same body, which ends in DEADLINE_EXCEEDED where it has not come to its end after `limit`.
pub(super) fn within(limit: Duration, body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Arriving {
        inner: body,
        limit,
        until: Instant::now() + limit,
        alarm: None,
    })
}

struct Arriving {
    inner: Body,
    limit: Duration,
    until: Instant,
    /// Set where the body has to be waited for.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let ready @ Poll::Ready(_) = Pin::new(&mut self.inner).poll_frame(cx) {
            return ready;
        }
        let until = self.until;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let late = format!("the request's message did not come within {:?}", self.limit);
        let late = deadline_exceeded(late).reason(Reason::RequestTooSlow);
        Poll::Ready(Some(Err(late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
