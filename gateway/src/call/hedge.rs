//! Hedging: sends a request again while an earlier attempt is slow, and takes the first answer.
//! The other attempts are dropped, which cancels them down to their rows in the batcher's queue.

use std::sync::Mutex;
use std::time::Duration;

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use motet_runtime::deadline::Deadline;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::limits::lock;
use super::{CallStats, PolicyClient, Upstream};
use crate::policy::bucket::{Rates, TokenBucket};
use crate::policy::latency::LatencyWindow;
use crate::policy::settings::{Hedge, HedgeAfter};

/// Latest latencies of which the percentile is taken.
const LATENCY_WINDOW: usize = 256;
/// Least number of latencies of which a percentile is meaningful.
const LATENCIES_MIN: usize = 20;
/// Largest burst of hedges.
const BURST: f64 = 10.0;

/// Hedging of the calls of one node: settings, latest latencies, and budget.
#[derive(Debug)]
pub(super) struct Hedging {
    settings: Hedge,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    latencies: LatencyWindow,
    budget: TokenBucket,
}

impl Hedging {
    pub(super) fn new(settings: Hedge, now: Instant) -> Self {
        let rates = Rates {
            capacity: BURST,
            per_call: settings.budget,
            per_second: 0.0,
        };
        Self {
            settings,
            state: Mutex::new(State {
                latencies: LatencyWindow::new(LATENCY_WINDOW),
                budget: TokenBucket::new(rates, now),
            }),
        }
    }

    /// Records a call. Returns the time after which it counts as slow; `None` while too few
    /// latencies are known.
    fn record_call(&self, now: Instant) -> Option<Duration> {
        let mut state = lock(&self.state);
        state.budget.record_call(now);
        match self.settings.after {
            HedgeAfter::Duration(after) => Some(after),
            HedgeAfter::Percentile(_) if state.latencies.len() < LATENCIES_MIN => None,
            HedgeAfter::Percentile(share) => state.latencies.percentile(share),
        }
    }

    fn take_token(&self, now: Instant) -> bool {
        lock(&self.state).budget.take(now)
    }

    fn record_latency(&self, took: Duration) {
        lock(&self.state).latencies.record(took);
    }
}

/// Sends a request, and hedges while it is slow.
pub(super) async fn call<U: Upstream>(
    client: &PolicyClient<U>,
    hedging: &Hedging,
    message: U::Request,
    deadline: Deadline,
    stats: &mut CallStats,
) -> Result<U::Response, Status> {
    let started = Instant::now();
    let after = hedging.record_call(started);
    let call = |nth: u32, message| {
        let call = client.send(message, deadline);
        call.map(move |result| (nth, result))
    };
    let mut calls = FuturesUnordered::new();
    calls.push(call(0, message.clone()));
    let mut left = after.map_or(0, |_| hedging.settings.max);
    let after = after.unwrap_or_default();
    let mut slow_at = started + after;
    let mut first_error = None;
    loop {
        tokio::select! {
            biased;
            Some((nth, result)) = calls.next() => match result {
                Ok(answer) => {
                    hedging.record_latency(started.elapsed());
                    if nth > 0 {
                        stats.hedge_won = true;
                        client.repeats.hedge_won();
                    }
                    return Ok(answer);
                }
                Err(error) => {
                    let error = first_error.take().unwrap_or(error);
                    // An attempt in flight may still succeed, unless the request is at fault.
                    if calls.is_empty() || !is_transient(&error) {
                        return Err(error);
                    }
                    first_error = Some(error);
                }
            },
            () = tokio::time::sleep_until(slow_at), if left > 0 => {
                let now = Instant::now();
                if hedging.take_token(now) {
                    client.repeats.hedged();
                    stats.hedges += 1;
                    left -= 1;
                    slow_at = now + after;
                    calls.push(call(stats.hedges, message.clone()));
                } else {
                    client.repeats.hedge_refused();
                    left = 0;
                }
            }
        }
    }
}

/// Returns whether another attempt at the same request may succeed.
fn is_transient(error: &Status) -> bool {
    matches!(
        error.code(),
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unknown
    )
}
