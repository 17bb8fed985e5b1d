//! Streams of requests, each answered as soon as it is ready.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use futures::stream::{self, BoxStream, FuturesUnordered, Stream, StreamExt};
use tonic::{Request, Status};

use crate::auth::Access;
use crate::limits::{Admitted, HeldBytes, StreamAdmission};
use crate::serve::ConnectionInfo;
use crate::status::{Reason, unavailable};
use crate::usage::Usage;

/// Requests of one stream that run at a time; the next is read when one has been answered.
pub const STREAM_CONCURRENCY_MAX: usize = 64;

/// A request of a stream that may run, with what it takes of the server apart from the others.
#[derive(Clone, Debug)]
pub struct StreamedRequest {
    /// Its usage.
    pub usage: Usage,
    /// The bytes that it holds: those of its message, so far.
    pub held: HeldBytes,
    /// Access to pipelines and models by their names.
    pub access: Access,
}

/// Runs `answer` for each request of a stream, at most [`STREAM_CONCURRENCY_MAX`] at a time, and
/// yields the answers in the order in which they are ready. Each counts as a request of the server
/// while it runs. `answer` gets the status to answer with instead of running a request for which
/// there is no place, or that comes while the server shuts down.
///
/// Two things end the stream with an error, after the requests that were read are answered: a
/// message that cannot be read, since the messages after it cannot be found, and the shutdown of
/// the server once nothing is in flight. The latter is UNAVAILABLE with the reason `DRAINING`:
/// every request without an answer was not run, and can be sent to another server.
pub fn answer_each<S, Q, A, F>(
    requests: Request<S>,
    answer: impl Fn(Q, Result<StreamedRequest, Status>) -> F + Send + Sync + 'static,
) -> BoxStream<'static, Result<A, Status>>
where
    S: Stream<Item = Result<Q, Status>> + Send + 'static,
    Q: Send + 'static,
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    let stream = StreamContext::of(requests.extensions());
    let connection = ConnectionInfo::of(requests.extensions()).cloned();
    let mut shutdown = Box::pin(async move {
        match connection {
            Some(connection) => connection.shutdown().await,
            None => std::future::pending().await,
        }
    });
    let mut requests = Some(Box::pin(requests.into_inner()));
    let mut running = FuturesUnordered::new();
    let mut is_draining = false;
    let mut end = None;
    let answers = stream::poll_fn(move |cx| {
        is_draining = is_draining || shutdown.as_mut().poll(cx).is_ready();
        while running.len() < STREAM_CONCURRENCY_MAX
            && let Some(reading) = &mut requests
            && let Poll::Ready(message) = reading.as_mut().poll_next(cx)
        {
            match message {
                Some(Ok(message)) => {
                    let (request, admitted) = stream.begin(is_draining);
                    let (usage, given) = match &request {
                        Ok(request) => (request.usage.clone(), Ok(request.clone())),
                        Err(refusal) => (Usage::default(), Err(refusal.clone())),
                    };
                    let answer = answer(message, given);
                    running.push(usage.measure(async move {
                        let answer = answer.await;
                        drop((request, admitted)); // holds its bytes and its place until here
                        answer
                    }));
                }
                Some(Err(unreadable)) => {
                    end = Some(unreadable);
                    requests = None;
                }
                None => requests = None,
            }
        }
        match ready!(running.poll_next_unpin(cx)) {
            Some(answer) => Poll::Ready(Some(Ok(answer))),
            None if requests.is_none() => Poll::Ready(end.take().map(Err)),
            None if is_draining => {
                requests = None;
                Poll::Ready(Some(Err(draining())))
            }
            None => Poll::Pending,
        }
    });
    answers.boxed()
}

/// Returns the status of requests that come, or are not read, because the server shuts down.
fn draining() -> Status {
    let text = "the server is shutting down: requests without an answer were not run";
    unavailable(text).reason(Reason::Draining).into()
}

/// State that the requests of a stream share.
struct StreamContext {
    held: Option<HeldBytes>,
    sizes: Option<MessageSizes>,
    admission: Option<StreamAdmission>,
    access: Access,
}

impl StreamContext {
    fn of(extensions: &http::Extensions) -> Self {
        Self {
            held: HeldBytes::of(extensions).cloned(),
            sizes: extensions.get().cloned(),
            admission: extensions.get().cloned(),
            access: Access::of(extensions),
        }
    }

    /// Begins the next request: with its bytes, and with its place where it needs one.
    fn begin(&self, is_draining: bool) -> (Result<StreamedRequest, Status>, Option<Admitted>) {
        // The bytes of one that is refused are given back.
        let held = self.next_bytes();
        if is_draining {
            return (Err(draining()), None);
        }
        let usage = Usage::default();
        let admitted = match self
            .admission
            .as_ref()
            .map(|admission| admission.admit(&usage))
            .transpose()
        {
            Ok(admitted) => admitted,
            Err(refusal) => return (Err(refusal), None),
        };
        usage.add_received(held.bytes());
        let access = self.access.clone();
        let request = StreamedRequest {
            usage,
            held,
            access,
        };
        (Ok(request), admitted)
    }

    /// Returns the bytes of the next message, apart from those of the stream.
    fn next_bytes(&self) -> HeldBytes {
        let Some(stream) = &self.held else {
            return HeldBytes::unlimited();
        };
        let held = stream.another();
        let size = self.sizes.as_ref().map_or(0, MessageSizes::taken);
        stream.hand_over(size, &held);
        held
    }
}

/// The sizes of the messages of a stream that have arrived and were not taken yet. The server puts
/// one into the extensions of every stream of requests. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageSizes(Arc<Mutex<Arrivals>>);

#[derive(Debug, Default)]
struct Arrivals {
    /// Complete messages with the five bytes before each.
    complete: VecDeque<usize>,
    /// The number of messages that were complete so far.
    count: u64,
    /// Bytes of the message that is arriving.
    begun: usize,
    /// The bytes before it, as far as they have arrived.
    prefix: [u8; PREFIX],
}

/// Number of bytes before a message: a flag and the length.
const PREFIX: usize = 5;

impl MessageSizes {
    /// Takes note of the next bytes of the body.
    pub(crate) fn received(&self, bytes: &[u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .received(bytes);
    }

    /// Returns the number of the message that has arrived in part; `None` between two.
    pub(crate) fn arriving(&self) -> Option<u64> {
        let arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (arrivals.begun > 0).then_some(arrivals.count)
    }

    /// Adds bytes to the next complete message, which it takes once expanded.
    pub(crate) fn grow_next(&self, bytes: usize) {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = arrivals.complete.front_mut() {
            *next += bytes;
        }
    }

    /// Returns the size of the next complete message, and forgets it; 0 if there is none.
    pub(crate) fn taken(&self) -> usize {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.complete.pop_front().unwrap_or(0)
    }
}

impl Arrivals {
    fn received(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.begun < PREFIX {
                let part = bytes.len().min(PREFIX - self.begun);
                self.prefix[self.begun..self.begun + part].copy_from_slice(&bytes[..part]);
                self.begun += part;
                bytes = &bytes[part..];
            }
            if self.begun < PREFIX {
                return;
            }
            let [_, length @ ..] = self.prefix;
            let whole = (u32::from_be_bytes(length) as usize).saturating_add(PREFIX);
            let part = bytes.len().min(whole - self.begun);
            self.begun += part;
            bytes = &bytes[part..];
            if self.begun == whole {
                self.complete.push_back(whole);
                self.count += 1;
                self.begun = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_before_an_unreadable_message_are_answered_first() {
        let requests = stream::iter([Ok(1), Ok(2), Err(Status::internal("broken")), Ok(3)]);
        let answers = answer_each(Request::new(requests), async |n, _| n * 10);
        let given: Vec<_> = answers.collect().await;
        let numbers: Vec<i32> = given
            .iter()
            .filter_map(|a| a.as_ref().ok().copied())
            .collect();
        assert_eq!(numbers, [10, 20]);
        assert_eq!(given.len(), 3);
        assert_eq!(given[2].as_ref().unwrap_err().message(), "broken");
    }

    #[test]
    fn messages_are_found_however_their_bytes_arrive() {
        let message = |length: u32| {
            let contents = vec![7; length as usize];
            [&[0], &length.to_be_bytes()[..], &contents].concat()
        };
        let body = [0, 3, 300, 0].map(message).concat();
        for at_a_time in [1, 2, 4, 7, 1000] {
            let sizes = MessageSizes::default();
            for part in body.chunks(at_a_time) {
                sizes.received(part);
            }
            assert_eq!(
                [0; 5].map(|_| sizes.taken()),
                [5, 8, 305, 5, 0],
                "{at_a_time}"
            );
        }
    }
}
