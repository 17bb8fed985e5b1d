//! The time that a request's message may take to arrive. A call is in flight from its headers on: a
//! message that never arrives would keep it so for ever. The client of a stream may pause between
//! messages as long as it likes, and not within one, whose bytes are held meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use crate::request_stream::MessageSizes;
use crate::status::{Reason, deadline_exceeded};

/// `true` if the method at this path takes a stream of requests, whose client may pause as long as
/// it likes. Routes are not typed, so the name has to tell: streaming methods end in `Stream`, or
/// are Triton's `ModelStreamInfer`.
pub(crate) fn is_stream(path: &str) -> bool {
    path.ends_with("Stream") || path.ends_with("/ModelStreamInfer")
}

/// The body, which ends with DEADLINE_EXCEEDED if it is incomplete after `limit`; with `messages`,
/// those of a stream, if one of them is incomplete so long after its first byte.
pub(super) fn limit(body: Body, limit: Duration, messages: Option<MessageSizes>) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(TimedBody {
        inner: body,
        limit,
        deadline: Instant::now() + limit,
        timer: None,
        messages,
        message: None,
    })
}

struct TimedBody {
    inner: Body,
    limit: Duration,
    deadline: Instant,
    /// Made when the body is first pending; most are complete by then.
    timer: Option<Pin<Box<Sleep>>>,
    messages: Option<MessageSizes>,
    /// The number of the message of a stream that `deadline` is for.
    message: Option<u64>,
}

impl TimedBody {
    /// `false` where a stream is between two messages. Else `deadline` is that of the message.
    fn is_timed(&mut self) -> bool {
        let Some(messages) = &self.messages else {
            return true;
        };
        let arriving = messages.arriving();
        if arriving != self.message {
            self.message = arriving;
            self.deadline = Instant::now() + self.limit;
            self.timer = None;
        }
        arriving.is_some()
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let ready @ Poll::Ready(_) = Pin::new(&mut self.inner).poll_frame(cx) {
            return ready;
        }
        if !self.is_timed() {
            return Poll::Pending;
        }
        let deadline = self.deadline;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        timer.as_mut().poll(cx).map(|()| {
            let text = format!(
                "the request's message did not arrive within {:?}",
                self.limit
            );
            Some(Err(deadline_exceeded(text)
                .reason(Reason::RequestTooSlow)
                .into()))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn the_name_of_a_method_tells_if_it_takes_a_stream() {
        let set = motet_proto::FILE_DESCRIPTOR_SET;
        let set = prost_types::FileDescriptorSet::decode(set).expect("a descriptor set");
        let mut streams = 0;
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    assert_eq!(is_stream(&name), method.client_streaming(), "{name}");
                    streams += usize::from(method.client_streaming());
                }
            }
        }
        assert!(streams > 0, "no method of the protocols streams");
    }
}
