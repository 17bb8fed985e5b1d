//! Calls as callers see them, and the collection of the answers to their rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::Span;

use super::executor::RowError;
use crate::arrival::Lookahead;
use crate::decision::Cause;
use crate::flow::Flow;
use crate::refusal::Refusal;
use crate::row::Priority;
use crate::time::Time;

/// Rows that one caller wants answered together.
#[derive(Clone, Debug)]
pub struct Call<R> {
    /// The rows, each with its length in tokens. A call without rows is answered at once.
    pub rows: Vec<(R, u32)>,
    /// Group of each row: only rows of one group share a batch, such as images of one size. Empty
    /// where all rows may; a row without one is in group 0.
    pub groups: Vec<u64>,
    /// Time by which the whole call must be answered; `None` takes the default of
    /// [`Options::max_latency`](crate::Options::max_latency).
    pub deadline: Option<Instant>,
    /// Urgency of the call.
    pub priority: Priority,
    /// For whom the call is made.
    pub flow: Flow,
    /// The caller's knowledge of the request that the call is part of.
    pub lookahead: Lookahead,
}

impl<R> Call<R> {
    /// Returns a call of rows, each with its length in tokens, with the default deadline, priority
    /// and flow.
    pub fn new(rows: Vec<(R, u32)>) -> Self {
        Self {
            rows,
            groups: Vec::new(),
            deadline: None,
            priority: Priority::default(),
            flow: Flow::default(),
            lookahead: Lookahead::default(),
        }
    }
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallReply<O> {
    /// One result for each row, in the call's order.
    pub rows: Vec<Result<O, RowError>>,
    /// Times and batches of the call.
    pub timing: CallTiming,
}

/// Times of a call in the batcher, and the batches that ran its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallTiming {
    /// Time from admission to the start of the run that answered its last row. With `compute_time`
    /// this is the whole time in the batcher.
    pub queue_time: Duration,
    /// Length of the run that answered its last row.
    pub compute_time: Duration,
    /// Number of runs that answered its rows.
    pub batches: usize,
    /// Rows of the largest of these runs, including those of other callers.
    pub batch_rows_max: usize,
    /// Mean rows of these runs.
    pub batch_rows_mean: f64,
    /// Tokens of the largest of these runs.
    pub batch_tokens_max: u64,
    /// Mean tokens of these runs.
    pub batch_tokens_mean: f64,
    /// Longest deliberate wait of an executor before one of these runs.
    pub deliberate_wait: Duration,
    /// Reason for which the last of these runs started when it did.
    pub cause: Option<Cause>,
}

/// One run of an executor, for the timing of its calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishedRun {
    pub(crate) started: Time,
    pub(crate) compute_time: Duration,
    pub(crate) rows: usize,
    pub(crate) tokens: u64,
    pub(crate) deliberate_wait: Duration,
    pub(crate) cause: Cause,
}

/// The answer to a call, or the reason for which there is none.
pub(crate) type Answer<O> = Result<CallReply<O>, Refusal>;

/// An answer and the channel to its caller.
pub(crate) type Reply<O> = (oneshot::Sender<Answer<O>>, Answer<O>);

/// A call some of whose rows have no answer yet.
pub(crate) struct Pending<R, O> {
    rows: Arc<[R]>,
    span: Span,
    arrived: Time,
    outputs: Vec<Option<Result<O, RowError>>>,
    missing: usize,
    timing: CallTiming,
    reply: oneshot::Sender<Answer<O>>,
}

impl<R, O> Pending<R, O> {
    pub(crate) fn new(rows: Arc<[R]>, arrived: Time, reply: oneshot::Sender<Answer<O>>) -> Self {
        let missing = rows.len();
        let outputs = std::iter::repeat_with(|| None).take(missing).collect();
        Pending {
            rows,
            span: Span::current(),
            arrived,
            outputs,
            missing,
            timing: CallTiming::default(),
            reply,
        }
    }

    /// Answers one row; the first answer counts.
    pub(crate) fn answer(&mut self, index: usize, output: Result<O, RowError>) {
        if let Some(slot @ None) = self.outputs.get_mut(index) {
            *slot = Some(output);
            self.missing -= 1;
        }
    }

    /// Number of rows without an answer.
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }

    /// Records a run that answered rows of the call.
    pub(crate) fn record_run(&mut self, run: &FinishedRun) {
        let timing = &mut self.timing;
        timing.batches += 1;
        let share = 1.0 / timing.batches as f64;
        timing.batch_rows_max = timing.batch_rows_max.max(run.rows);
        timing.batch_rows_mean += share * (run.rows as f64 - timing.batch_rows_mean);
        timing.batch_tokens_max = timing.batch_tokens_max.max(run.tokens);
        timing.batch_tokens_mean += share * (run.tokens as f64 - timing.batch_tokens_mean);
        timing.deliberate_wait = timing.deliberate_wait.max(run.deliberate_wait);
        timing.queue_time = run.started.since(self.arrived);
        timing.compute_time = run.compute_time;
        timing.cause = Some(run.cause);
    }

    /// Returns the finished reply and its channel. A row without an answer, which would be a
    /// defect, gets an error that says so.
    pub(crate) fn finish(self) -> Reply<O> {
        let unanswered = || {
            Err(RowError::Failed(
                "the executor gave no answer to this row".to_owned(),
            ))
        };
        let rows = self
            .outputs
            .into_iter()
            .map(|output| output.unwrap_or_else(unanswered))
            .collect();
        (
            self.reply,
            Ok(CallReply {
                rows,
                timing: self.timing,
            }),
        )
    }

    /// Returns the refusal of the whole call and its channel.
    pub(crate) fn refuse(self, refusal: Refusal) -> Reply<O> {
        (self.reply, Err(refusal))
    }
}

/// A call that has rows in a batch, as its executor needs it.
pub(crate) struct Caller<R> {
    pub(crate) rows: Arc<[R]>,
    pub(crate) span: Span,
}

impl<R> Caller<R> {
    /// Returns a call of these rows, in the current span.
    pub(crate) fn new(rows: Arc<[R]>) -> Self {
        Caller {
            rows,
            span: Span::current(),
        }
    }

    pub(crate) fn of<O>(pending: &Pending<R, O>) -> Self {
        Caller {
            rows: pending.rows.clone(),
            span: pending.span.clone(),
        }
    }
}
