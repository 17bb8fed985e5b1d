//! Waiting for conditions by polling, up to a time limit.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// The longest wait of a test. Only a failing test waits this long.
pub const BOUND: Duration = Duration::from_secs(60);
/// The pause between two polls.
const PAUSE: Duration = Duration::from_millis(5);

/// Polls until the answer is `Some`, and returns it.
///
/// # Panics
/// If there is none within [`BOUND`].
pub async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + BOUND;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {BOUND:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for a future.
///
/// # Panics
/// If it is not ready within [`BOUND`].
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    within(BOUND, what, future).await
}

/// Waits for a future, for as long as `bound`.
///
/// # Panics
/// If it is not ready by then.
pub async fn within<F: Future>(bound: Duration, what: &str, future: F) -> F::Output {
    match tokio::time::timeout(bound, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {bound:?}"),
    }
}
