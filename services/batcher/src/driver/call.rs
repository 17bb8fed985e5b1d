//! Calls as callers see them, and how answers to their rows come together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::Span;

use super::{Refused, RowError};
use crate::{Cause, Lookahead, Priority, Ticket, Time};

/// Rows that one caller wants answered together.
#[derive(Clone, Debug)]
pub struct Call<R> {
    /// The rows, each with its length in tokens. None at all is answered at once.
    pub rows: Vec<(R, u32)>,
    /// When the whole call must be answered; `None` takes the default of [`Options::max_latency`](crate::Options::max_latency).
    pub deadline: Option<Instant>,
    /// How urgent it is.
    pub priority: Priority,
    /// What is known of the request that it is part of.
    pub lookahead: Lookahead,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallReply<O> {
    /// One result for each row, in the call's order.
    pub rows: Vec<Result<O, RowError>>,
    /// How it travelled.
    pub ride: Ride,
}

/// How a call travelled through the batcher.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ride {
    /// From admission to the start of the run that answered its last row. With `compute_time` this is the whole time in the batcher.
    pub queue_time: Duration,
    /// Length of the run that answered its last row.
    pub compute_time: Duration,
    /// Runs that answered rows of it.
    pub batches: usize,
    /// Rows of the largest of these runs, other callers' included.
    pub batch_rows_max: usize,
    /// Mean rows of these runs.
    pub batch_rows_mean: f64,
    /// Tokens of the largest of these runs.
    pub batch_tokens_max: u64,
    /// Mean tokens of these runs.
    pub batch_tokens_mean: f64,
    /// Longest time that an executor deliberately waited for company before one of these runs.
    pub deliberate_wait: Duration,
    /// Why the last of these runs started when it did.
    pub cause: Option<Cause>,
}

/// One run, as a rider remembers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) started: Time,
    pub(crate) compute_time: Duration,
    pub(crate) rows: usize,
    pub(crate) tokens: u64,
    pub(crate) deliberate_wait: Duration,
    pub(crate) cause: Cause,
}

/// What comes of a call.
pub(crate) type Answer<O> = Result<CallReply<O>, Refused>;

/// An answer on its way to its caller.
pub(crate) type Reply<O> = (oneshot::Sender<Answer<O>>, Answer<O>);

/// A call that waits for answers to some of its rows.
pub(crate) struct Pending<R, O> {
    pub(crate) ticket: Ticket,
    pub(crate) rows: Arc<[R]>,
    pub(crate) span: Span,
    arrived: Time,
    outputs: Vec<Option<Result<O, RowError>>>,
    missing: usize,
    ride: Ride,
    reply: oneshot::Sender<Answer<O>>,
}

impl<R, O> Pending<R, O> {
    pub(crate) fn new(
        ticket: Ticket,
        rows: Arc<[R]>,
        arrived: Time,
        reply: oneshot::Sender<Answer<O>>,
    ) -> Self {
        let missing = rows.len();
        let outputs = std::iter::repeat_with(|| None).take(missing).collect();
        Pending {
            ticket,
            rows,
            span: Span::current(),
            arrived,
            outputs,
            missing,
            ride: Ride::default(),
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

    /// Rows without an answer.
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }

    /// Notes a run that answered rows of it.
    pub(crate) fn ride(&mut self, run: &Run) {
        let ride = &mut self.ride;
        ride.batches += 1;
        let share = 1.0 / ride.batches as f64;
        ride.batch_rows_max = ride.batch_rows_max.max(run.rows);
        ride.batch_rows_mean += share * (run.rows as f64 - ride.batch_rows_mean);
        ride.batch_tokens_max = ride.batch_tokens_max.max(run.tokens);
        ride.batch_tokens_mean += share * (run.tokens as f64 - ride.batch_tokens_mean);
        ride.deliberate_wait = ride.deliberate_wait.max(run.deliberate_wait);
        ride.queue_time = run.started.since(self.arrived);
        ride.compute_time = run.compute_time;
        ride.cause = Some(run.cause);
    }

    /// The finished reply, and whom it goes to. Rows without an answer, of which there should be none, say so.
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
                ride: self.ride,
            }),
        )
    }

    /// The refusal of the whole call, and whom it goes to.
    pub(crate) fn refuse(self, refused: Refused) -> Reply<O> {
        (self.reply, Err(refused))
    }
}
