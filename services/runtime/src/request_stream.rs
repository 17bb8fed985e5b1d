//! Streams of requests, each answered as soon as it is ready.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, BoxStream, Stream, StreamExt};
use tonic::{Request, Status};

use crate::serve::ConnectionInfo;
use crate::status::{Reason, unavailable};

/// Requests of one stream that run at a time; the next is read when one has been answered.
pub const STREAM_CONCURRENCY_MAX: usize = 64;

/// Runs `answer` for each request of a stream, at most [`STREAM_CONCURRENCY_MAX`] at a time, and
/// yields the answers in the order in which they are ready.
///
/// Two things end the stream with an error, after the requests that were read are answered: a
/// message that cannot be read, since the messages after it cannot be found, and the shutdown of
/// the server. The latter is UNAVAILABLE with the reason `DRAINING`: every request without an
/// answer was not run, and can be sent to another server.
pub fn answer_each<S, Q, A, F>(
    requests: Request<S>,
    answer: impl Fn(Q) -> F + Send + Sync + 'static,
) -> BoxStream<'static, Result<A, Status>>
where
    S: Stream<Item = Result<Q, Status>> + Send + 'static,
    Q: Send + 'static,
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    let connection = ConnectionInfo::of(requests.extensions()).cloned();
    let end = End::default();
    let (unreadable, draining, last) = (end.clone(), end.clone(), end);
    let shutdown = async move {
        match connection {
            Some(connection) => connection.shutdown().await,
            None => std::future::pending().await,
        }
        let text = "the server is shutting down: requests without an answer were not run";
        draining.set(unavailable(text).reason(Reason::Draining).into());
    };
    let readable =
        requests
            .into_inner()
            .take_until(Box::pin(shutdown))
            .scan((), move |(), request| {
                let request = request.map_err(|error| unreadable.set(error)).ok();
                std::future::ready(request)
            });
    let last = stream::once(async move { last.take().map(Err) });
    readable
        .map(answer)
        .buffer_unordered(STREAM_CONCURRENCY_MAX)
        .map(Ok)
        .chain(last.filter_map(std::future::ready))
        .boxed()
}

/// The error that ends a stream, if one does.
#[derive(Clone, Default)]
struct End(Arc<Mutex<Option<Status>>>);

impl End {
    fn set(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    fn take(&self) -> Option<Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_before_an_unreadable_message_are_answered_first() {
        let requests = stream::iter([Ok(1), Ok(2), Err(Status::internal("broken")), Ok(3)]);
        let answers = answer_each(Request::new(requests), async |n| n * 10);
        let given: Vec<_> = answers.collect().await;
        let numbers: Vec<i32> = given
            .iter()
            .filter_map(|a| a.as_ref().ok().copied())
            .collect();
        assert_eq!(numbers, [10, 20]);
        assert_eq!(given.len(), 3);
        assert_eq!(given[2].as_ref().unwrap_err().message(), "broken");
    }
}
