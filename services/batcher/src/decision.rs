//! What the scheduler answers.

use std::time::Duration;

use crate::{BatchId, Row, Time};

/// What a free executor shall do.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Run this now.
    Run(Batch),
    /// Wait for company, and ask again at this time or at the next event.
    WaitUntil(Time),
    /// Nothing to do until the next event.
    Idle,
}

/// Rows that run together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Its identity, for [`Scheduler::complete`](crate::Scheduler::complete).
    pub id: BatchId,
    /// Its rows; never empty.
    pub rows: Vec<Row>,
    /// Tokens that it computes, padding included where the executor pads.
    pub tokens: u64,
    /// Why it started when it did.
    pub cause: Cause,
    /// How long an executor deliberately waited before it.
    pub waited: Duration,
    /// The window that was chosen when that wait began; `None` where there was no wait.
    pub window: Option<Window>,
}

/// A deliberate wait, as it was meant and as it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// How long it was to last at most.
    pub chosen: Duration,
    /// Rows expected to come meanwhile.
    pub expected_rows: f64,
    /// Rows that came.
    pub actual_rows: usize,
}

/// Why a batch started when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An executor was free and waiting would not have paid.
    Ready,
    /// It was full, or as long as pays where everybody in it waits for its end.
    Size,
    /// The window chosen for it was over.
    Window,
    /// Waiting longer would have made a row late.
    Deadline,
    /// The batcher was shutting down, or about to.
    Drain,
    /// It is a part of a batch that failed.
    Retry,
}

impl Cause {
    /// Its name in metrics and replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Ready => "ready",
            Cause::Size => "size",
            Cause::Window => "window",
            Cause::Deadline => "deadline",
            Cause::Drain => "drain",
            Cause::Retry => "retry",
        }
    }
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every row has its answer or its own error.
    Done,
    /// The run failed as a whole.
    Failed,
    /// The device ran out of memory.
    OutOfMemory,
    /// The executor panicked or died.
    Crashed,
}

/// What becomes of the rows of a batch that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are answered with what the executor returned.
    Answer,
    /// They run again, in two halves.
    Retry,
    /// They are answered with the batch's error.
    Fail,
}

/// Why a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The queue has `limit` rows at most.
    QueueFull {
        /// The limit, in rows.
        limit: usize,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// It could not be answered before its deadline.
    WouldBeLate {
        /// When it would be answered, from now.
        predicted: Duration,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// A row is longer than the model allows.
    TooLarge {
        /// Tokens of the row.
        tokens: u32,
        /// The limit.
        limit: u32,
    },
    /// Its deadline has passed already.
    DeadlineExceeded,
    /// The batcher is shutting down.
    Draining,
    /// No executor is left.
    ExecutorDied,
}

/// A row that left the queue without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The row.
    pub row: Row,
    /// Why: its deadline came, or what is left until then is too short ([`Refusal::WouldBeLate`]).
    pub refusal: Refusal,
}
