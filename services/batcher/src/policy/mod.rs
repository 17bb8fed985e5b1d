//! Rules for a free executor: when to wait for further rows, and how much to run at once.
//!
//! * `adaptive`: waits where learnt arrivals and costs say that it pays
//! * `batch_limit`: the batch size at which a long queue is answered soonest
//! * `fixed`: waits until the oldest row has been queued for a fixed time
//! * `greedy`: never waits
//!
//! Another rule is a file here that implements [`BatchingPolicy`], a variant of
//! [`Policy`](crate::Policy), and its line in [`build`].

mod adaptive;
mod batch_limit;
mod fixed;
mod greedy;

use std::fmt;

use crate::announcements::Announcements;
use crate::forecast::DecisionPoint;
use crate::learnt::Learnt;
use crate::options::Policy;
use crate::row::Row;
use crate::time::Time;

/// A rule for a free executor. It has no clock and no state: the same inputs give the same answer.
pub(crate) trait BatchingPolicy: fmt::Debug + Send + Sync {
    /// Returns the most tokens that pay in the next batch of interactive rows.
    fn batch_tokens_max(&self, learnt: &Learnt, backlog: &Backlog) -> u64 {
        let _ = (learnt, backlog);
        u64::MAX
    }

    /// Returns the wait that pays before the rows run; `None` if running now is best. The scheduler
    /// shortens it to [`Options::max_queue_delay`](crate::Options::max_queue_delay) and to the
    /// rows' deadlines.
    fn wait(&self, inputs: &WaitInputs<'_>) -> Option<Wait>;
}

/// Returns the rule of an option.
pub(crate) fn build(policy: Policy) -> Box<dyn BatchingPolicy> {
    match policy {
        Policy::Adaptive => Box::new(adaptive::Adaptive),
        Policy::Greedy => Box::new(greedy::Greedy),
        Policy::Fixed(window) => Box::new(fixed::Fixed { window }),
    }
}

/// The queue that a batch is taken from, and the load on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    /// Tokens in the queue.
    pub(crate) tokens: u64,
    /// Calls in the queue; those of one request count once.
    pub(crate) calls: usize,
    /// Calls that arrive per second.
    pub(crate) calls_per_second: f64,
    /// Share of the executors' time that is in use, 0 to 1.
    pub(crate) load: f64,
    /// Executors that share the queue.
    pub(crate) executors: usize,
}

/// Inputs of the decision to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitInputs<'a> {
    pub(crate) now: Time,
    pub(crate) learnt: &'a Learnt,
    pub(crate) announcements: &'a Announcements,
    /// Kind of the decision point that the wait is counted from.
    pub(crate) point: DecisionPoint,
    /// Seconds since the decision point.
    pub(crate) elapsed: f64,
    /// Rows that would run now.
    pub(crate) rows: &'a [Row],
    /// Tokens that they would compute.
    pub(crate) tokens: u64,
    /// Executors without a batch.
    pub(crate) free_executors: usize,
    /// Seconds until another executor is free; `None` if there is only one.
    pub(crate) next_free: Option<f64>,
}

/// A wait that pays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) until: Time,
    /// Rows expected to arrive by then.
    pub(crate) expected_rows: f64,
}
