//! The body of a request: its bytes are counted, and reading stops where the server's budget of
//! bytes has no room. What is left when nobody reads it any more is thrown away.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::Sleep;
use tonic::Status;

use super::ConnectionInfo;
use super::discard::discard;
use crate::limits::{HeldBytes, WAIT_MAX};
use crate::request_stream::MessageSizes;
use crate::usage::Usage;

/// The body of a request.
pub(super) struct RequestBody {
    /// Taken when this is dropped.
    inner: Option<Incoming>,
    connection: ConnectionInfo,
    held: HeldBytes,
    usage: Usage,
    /// The messages of a stream of requests, which are held one by one.
    messages: Option<MessageSizes>,
    /// `true` if it is of health or reflection: read in any case, and not held.
    is_exempt: bool,
    /// Runs while there is no room.
    wait: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub(super) fn new(
        inner: Incoming,
        connection: ConnectionInfo,
        held: HeldBytes,
        usage: Usage,
        messages: Option<MessageSizes>,
        is_exempt: bool,
    ) -> Self {
        Self {
            inner: Some(inner),
            connection,
            held,
            usage,
            messages,
            is_exempt,
            wait: None,
        }
    }

    /// Ready when more may be read, or with the refusal of the request.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        if self.is_exempt {
            return Poll::Ready(Ok(()));
        }
        while self.held.poll_room(cx).is_pending() {
            let wait = self
                .wait
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(WAIT_MAX)));
            std::task::ready!(wait.as_mut().poll(cx));
            if let Some(refusal) = self.held.refuse_newest() {
                return Poll::Ready(Err(refusal));
            }
            self.wait = None; // others are refused before
        }
        self.wait = None;
        Poll::Ready(Ok(()))
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Err(refusal) = std::task::ready!(this.poll_room(cx)) {
            return Poll::Ready(Some(Err(refusal)));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    if !this.is_exempt {
                        this.held.add(data.len());
                    }
                    this.usage.add_received(data.len());
                    if let Some(messages) = &this.messages {
                        messages.received(data);
                    }
                }
                Ok(frame)
            }
            Err(error) => Err(Status::from_error(Box::new(error))),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref();
        inner.map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|inner| !inner.is_end_stream()) {
            discard(inner, self.connection.clone());
        }
    }
}
