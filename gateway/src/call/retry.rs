//! Makes a failed call again: only where that can help, within the budget, before the deadline.

use std::time::Duration;

use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use tokio::time::Instant;
use tonic::Status;

use super::{Calls, Tally, Target};
use crate::policy::settings::Retry;

/// A call and its retries. A failure that was retried says in its metadata how often it was tried.
pub(super) async fn call<T: Target>(
    calls: &Calls<T>,
    retry: &Retry,
    message: &T::Message,
    deadline: Deadline,
    tally: &mut Tally,
) -> Result<T::Answer, Status> {
    loop {
        let error = match calls.try_once(message.clone(), deadline, tally).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(pause) = pause(calls, retry, &error, deadline, tally.retries) else {
            if tally.retries == 0 {
                return Err(error);
            }
            let attempts = (tally.retries + 1).to_string();
            return Err(status::annotate(&error, [("attempts", attempts.as_str())]));
        };
        tracing::debug!(name = calls.target.label(), ?pause, %error, "a call is made again");
        tokio::time::sleep(pause).await;
        calls.repeats.retried();
        tally.retries += 1;
    }
}

/// How long to wait before the next retry; `None` when there is none.
fn pause<T: Target>(
    calls: &Calls<T>,
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
        calls.repeats.retry_refused("deadline");
        return None;
    }
    if !calls.target.guard().take_retry(now) {
        calls.repeats.retry_refused("budget");
        return None;
    }
    Some(pause)
}
