//! Answers to a stream of requests, each given as it is ready.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, BoxStream, Stream, StreamExt};
use tonic::Status;

/// Requests of one stream that run at a time; the next is read when one is answered.
pub const STREAM_CONCURRENCY_MAX: usize = 64;

/// Runs `answer` for each request of a stream, at most [`STREAM_CONCURRENCY_MAX`] at a time.
///
/// A message that cannot be read ends a stream, since what follows it cannot be told apart. The
/// requests before it are answered first; its error comes last.
pub fn answers<Q, A, F>(
    requests: impl Stream<Item = Result<Q, Status>> + Send + 'static,
    answer: impl Fn(Q) -> F + Send + Sync + 'static,
) -> BoxStream<'static, Result<A, Status>>
where
    Q: Send + 'static,
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    let broken: Arc<Mutex<Option<Status>>> = Arc::default();
    let last = broken.clone();
    let readable = requests.scan(broken, |broken, request| {
        std::future::ready(match request {
            Ok(request) => Some(request),
            Err(error) => {
                *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
        })
    });
    let last = stream::once(async move {
        let error = last.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map(Err)
    });
    readable
        .map(answer)
        .buffer_unordered(STREAM_CONCURRENCY_MAX)
        .map(Ok)
        .chain(last.filter_map(std::future::ready))
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_came_before_a_broken_message_is_answered_first() {
        let requests = stream::iter([Ok(1), Ok(2), Err(Status::internal("broken")), Ok(3)]);
        let given: Vec<_> = answers(requests, async |n| n * 10).collect().await;
        let numbers: Vec<i32> = given
            .iter()
            .filter_map(|a| a.as_ref().ok().copied())
            .collect();
        assert_eq!(numbers, [10, 20]);
        assert_eq!(given.len(), 3);
        assert_eq!(given[2].as_ref().unwrap_err().message(), "broken");
    }
}
