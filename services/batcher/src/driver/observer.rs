//! Events of a batcher, for metrics.

use std::time::Duration;

use crate::decision::{Cause, Window};
use crate::refusal::Refusal;

/// Receives every event of a batcher.
///
/// It is called from executor threads and from callers' tasks, never under a lock. It should return
/// quickly.
pub trait Observer: Send + Sync + 'static {
    /// Receives an event.
    fn observe(&self, event: &Event);
}

/// An observer that ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _event: &Event) {}
}

/// An event of a batcher.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A batch ran and its rows were answered.
    BatchRan(BatchRan),
    /// A call was refused at once.
    Refused {
        /// The reason.
        refusal: Refusal,
        /// Rows of the call.
        rows: usize,
    },
    /// A call was given up: its deadline came, or could no longer be met.
    Expired {
        /// Rows of the call without an answer.
        rows: usize,
    },
    /// A caller cancelled its call.
    Cancelled {
        /// Rows of the call without an answer.
        rows: usize,
    },
    /// A batch failed and was halved to find the row at fault.
    Bisected {
        /// Rows of the batch.
        rows: usize,
    },
    /// A batch ran out of memory and was halved.
    MemorySplit {
        /// Rows of the batch.
        rows: usize,
        /// Tokens of the batch.
        tokens: u64,
    },
    /// Rows failed because their run failed.
    RowsFailed {
        /// Number of rows.
        rows: usize,
    },
    /// A batch runs many times longer than it should; its calls are refused.
    Stuck {
        /// `true` if no other executor is left: every call is refused.
        is_last: bool,
        /// The refusal.
        refusal: Refusal,
    },
    /// A batch that was stuck has ended, and calls are answered again.
    Recovered,
    /// An executor panicked, or lost its device; it is being rebuilt.
    ExecutorCrashed {
        /// Number of the executor, from 0.
        executor: usize,
        /// The panic's message, or the words of the device's driver.
        message: String,
    },
    /// An executor could not be rebuilt and is gone.
    ExecutorDied {
        /// Number of the executor, from 0.
        executor: usize,
        /// Number of executors for rows of any priority that are left; without any, every call is
        /// refused.
        left: usize,
        /// The error.
        message: String,
    },
}

/// A batch that ran well.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRan {
    /// Rows in it.
    pub rows: usize,
    /// Tokens that it computed, padding included where the executor pads.
    pub tokens: u64,
    /// Time that it ran.
    pub compute_time: Duration,
    /// Reason for which it started when it did.
    pub cause: Cause,
    /// Time for which an executor deliberately waited before it.
    pub deliberate_wait: Duration,
    /// The window chosen when that wait began, and the rows that came; `None` if there was no wait.
    pub window: Option<Window>,
    /// Time for which each of its rows had been queued when it started.
    pub queue_times: Vec<Duration>,
}
