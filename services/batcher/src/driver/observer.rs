//! What happens in a batcher, told to whoever keeps metrics.

use std::time::Duration;

use super::Refused;
use crate::{Cause, Window};

/// Is told every event. Called from executor threads and from callers' tasks, never under a lock; it should return quickly.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn observe(&self, event: &Event);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _event: &Event) {}
}

/// Something that happened in a batcher.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A batch ran and its rows were answered.
    BatchRan(BatchRan),
    /// A call was refused at once.
    Refused {
        /// Why.
        reason: Refused,
        /// Its rows.
        rows: usize,
    },
    /// A call's deadline came, or could no longer be met, before its answer.
    Expired {
        /// Its rows that had no answer yet.
        rows: usize,
    },
    /// A caller went away before its answer.
    Cancelled {
        /// Its rows that had no answer yet.
        rows: usize,
    },
    /// A batch failed and was halved to find the row at fault.
    Bisected {
        /// Its rows.
        rows: usize,
    },
    /// A batch ran out of memory and was halved.
    MemorySplit {
        /// Its rows.
        rows: usize,
        /// Its tokens.
        tokens: u64,
    },
    /// Rows failed because their run failed.
    RowsFailed {
        /// How many.
        rows: usize,
    },
    /// An executor panicked; it is being rebuilt.
    ExecutorCrashed {
        /// Its place among the executors.
        executor: usize,
        /// The panic's message.
        message: String,
    },
    /// An executor could not be rebuilt and is gone.
    ExecutorDied {
        /// Its place among the executors.
        executor: usize,
        /// Why.
        message: String,
    },
}

/// A batch that ran.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRan {
    /// Its rows.
    pub rows: usize,
    /// Its tokens, padding included where the executor pads.
    pub tokens: u64,
    /// How long it ran.
    pub compute_time: Duration,
    /// Why it started when it did.
    pub cause: Cause,
    /// How long an executor deliberately waited before it.
    pub deliberate_wait: Duration,
    /// The window chosen when that wait began, and the company that came; `None` where there was no wait.
    pub window: Option<Window>,
    /// How long each of its rows had been queued when it started.
    pub queue_times: Vec<Duration>,
}
