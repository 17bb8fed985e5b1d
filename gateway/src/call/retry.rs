//! Retries: only of transient errors, within the budget, before the deadline.

use std::time::Duration;

use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use tokio::time::Instant;
use tonic::Status;

use super::{CallStats, PolicyClient, Upstream};
use crate::policy::settings::Retry;

/// Makes a call and its retries. The metadata of a failure after retries has the number of
/// `attempts`.
pub(super) async fn call<U: Upstream>(
    client: &PolicyClient<U>,
    retry: &Retry,
    message: &U::Request,
    deadline: Deadline,
    stats: &mut CallStats,
) -> Result<U::Response, Status> {
    loop {
        let error = match client.attempt(message.clone(), deadline, stats).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(pause) = pause(client, retry, &error, deadline, stats.retries) else {
            if stats.retries == 0 {
                return Err(error);
            }
            let attempts = (stats.retries + 1).to_string();
            return Err(status::annotate(&error, [("attempts", attempts.as_str())]));
        };
        tracing::debug!(name = client.upstream.label(), ?pause, %error, "a call is retried");
        tokio::time::sleep(pause).await;
        client.repeats.retried();
        stats.retries += 1;
    }
}

/// Returns the pause before the next retry, or `None` if the error is final. `made` is the number
/// of retries so far.
fn pause<U: Upstream>(
    client: &PolicyClient<U>,
    retry: &Retry,
    error: &Status,
    deadline: Deadline,
    made: u32,
) -> Option<Duration> {
    if made >= retry.max || !retry.is_retryable(error) {
        return None;
    }
    let asked = status::read(error).retry_after;
    let pause = retry.backoff.pause(made, fastrand::f64(), asked);
    let now = Instant::now();
    if pause >= deadline.remaining(now) {
        client.repeats.retry_refused("deadline");
        return None;
    }
    if !client.upstream.limits().take_retry(now) {
        client.repeats.retry_refused("budget");
        return None;
    }
    Some(pause)
}
