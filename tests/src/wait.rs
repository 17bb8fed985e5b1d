//! Conditions that come true by themselves: asked for again and again, up to a bound.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for anything. Far beyond what it takes: only a failing test gets there.
pub const BOUND: Duration = Duration::from_secs(60);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is `Some`, and gives it.
///
/// # Panics
/// When that has not happened within [`BOUND`].
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

/// Waits for a future that must end.
///
/// # Panics
/// When it has not ended within [`BOUND`].
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(BOUND, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {BOUND:?}"),
    }
}
