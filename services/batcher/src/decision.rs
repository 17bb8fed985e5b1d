//! Answers of the scheduler: batches, waits, and what happens to rows.

use std::time::Duration;

use crate::refusal::Refusal;
use crate::row::{BatchId, Row};
use crate::time::Time;

/// The next step of a free executor.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Run this batch now.
    Run(Batch),
    /// Wait for further rows: ask again at this time, or at the next event.
    WaitUntil(Time),
    /// Nothing to do: ask again at the next event.
    Idle,
}

/// Rows that run together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Identity of the batch, for [`Scheduler::complete`](crate::Scheduler::complete).
    pub id: BatchId,
    /// Its rows; never empty.
    pub rows: Vec<Row>,
    /// Tokens that it computes, padding included where the executor pads.
    pub tokens: u64,
    /// Reason for which it started when it did.
    pub cause: Cause,
    /// Time for which an executor deliberately waited before it.
    pub deliberate_wait: Duration,
    /// The window that was chosen when that wait began; `None` if there was no wait.
    pub window: Option<Window>,
}

/// A deliberate wait, as planned and as it turned out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Planned length.
    pub chosen: Duration,
    /// Rows expected to arrive during the wait.
    pub expected_rows: f64,
    /// Rows that arrived.
    pub actual_rows: usize,
}

/// The reason for which a batch started when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An executor was free and waiting would not have paid.
    Ready,
    /// It was full, or as large as pays where all its callers wait for its end.
    Size,
    /// The window chosen for it was over.
    Window,
    /// Waiting longer would have made a row late.
    Deadline,
    /// The batcher was shutting down, or about to.
    Drain,
    /// It is a part of a batch that failed.
    Retry,
    /// It is one row of a call that was refused: a run that may correct the estimate.
    Trial,
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
            Cause::Trial => "trial",
        }
    }
}

/// The end of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every row has its answer or its own error.
    Done,
    /// The run failed as a whole.
    Failed,
    /// The device ran out of memory.
    OutOfMemory,
    /// The executor panicked, died or lost its device.
    Crashed,
}

/// The driver's next step with the rows of a batch that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer them with the executor's outputs.
    Answer,
    /// Keep them: they run again, in two halves.
    Retry,
    /// Answer them with the batch's error.
    Fail,
}

/// A row that left the queue without an answer, as did all others of its call that waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The row.
    pub row: Row,
    /// [`Refusal::DeadlineExceeded`] if its deadline came, [`Refusal::WouldBeLate`] or
    /// [`Refusal::DeadlineTooShort`] if the time that is left is too short.
    pub refusal: Refusal,
}
