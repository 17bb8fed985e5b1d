//! Totals and current state of a scheduler, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::refusal::Refusal;
use crate::row::Row;
use crate::time::Time;

/// Running totals and current state of one scheduler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Calls admitted.
    pub calls_admitted: u64,
    /// Rows admitted.
    pub rows_admitted: u64,
    /// Rows that an executor answered, with an output or with an error of their own.
    pub rows_answered: u64,
    /// Rows that failed because their run failed.
    pub rows_failed: u64,
    /// Rows given up because their deadline came, or could no longer be met.
    pub rows_expired: u64,
    /// Rows whose caller cancelled.
    pub rows_cancelled: u64,
    /// Rows refused, by reason.
    pub rows_refused: RefusedRows,
    /// Tokens of answered rows.
    pub tokens_answered: u64,
    /// Batches started, retries included.
    pub batches_started: u64,
    /// Failed batches that were halved to find the bad row.
    pub bisections: u64,
    /// Batches that ran out of memory and were halved.
    pub memory_splits: u64,
    /// Sum over answered rows of the time from admission to the start of the run that answered
    /// them.
    pub queue_time: Duration,
    /// Sum over batches of their run time.
    pub compute_time: Duration,
    /// Sum over batches of the time for which an executor deliberately waited before them.
    pub deliberate_wait: Duration,
    /// Batches that ran well, by number of rows.
    pub batches_by_rows: BTreeMap<usize, BatchTotals>,
    /// Rows waiting now.
    pub rows_queued: usize,
    /// Tokens waiting now.
    pub tokens_queued: u64,
    /// Rows running now.
    pub rows_running: usize,
    /// Batches running now.
    pub batches_running: usize,
    /// Executors alive; with none, every call is refused.
    pub executors: usize,
    /// Executors whose batch runs many times longer than it should; if all, every call is refused.
    pub executors_stuck: usize,
    /// `true` while the batcher is shutting down.
    pub draining: bool,
    /// Learnt fixed seconds of a batch, whatever its size.
    pub cost_fixed_seconds: f64,
    /// Learnt seconds per token.
    pub cost_token_seconds: f64,
    /// Usual relative error of a predicted batch time.
    pub cost_error: f64,
    /// Recent interactive rows per second.
    pub rows_per_second: f64,
    /// Learnt limit on the tokens of a batch; `None` unless memory ran out.
    pub memory_cap_tokens: Option<u64>,
}

impl Stats {
    /// Counts a batch that started with `size` rows and answered `rows`, those not cancelled since.
    pub(crate) fn answered(
        &mut self,
        rows: &[Row],
        size: usize,
        started: Time,
        duration: Duration,
    ) {
        self.rows_answered += rows.len() as u64;
        self.tokens_answered += rows.iter().map(|row| u64::from(row.tokens)).sum::<u64>();
        self.queue_time += rows
            .iter()
            .map(|row| started.since(row.arrived))
            .sum::<Duration>();
        let totals = self.batches_by_rows.entry(size).or_default();
        totals.batches += 1;
        totals.compute_time += duration;
    }
}

/// Rows refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedRows {
    /// The queue was full.
    pub queue_full: u64,
    /// Their own work takes longer than their deadline allows.
    pub deadline_too_short: u64,
    /// Behind other work, they could not have been answered in time.
    pub would_be_late: u64,
    /// A row of the call was longer than the model allows, or its rows were too many.
    pub too_large: u64,
    /// The batcher was shutting down, or no executor was left, or none but those that are stuck.
    pub unavailable: u64,
}

impl RefusedRows {
    pub(crate) fn count(&mut self, refusal: &Refusal, rows: usize) {
        *match refusal {
            Refusal::QueueFull { .. } => &mut self.queue_full,
            Refusal::DeadlineTooShort { .. } => &mut self.deadline_too_short,
            Refusal::WouldBeLate { .. } | Refusal::DeadlineExceeded => &mut self.would_be_late,
            Refusal::TooLarge { .. } | Refusal::TooManyRows { .. } => &mut self.too_large,
            Refusal::Stuck { .. } | Refusal::Draining | Refusal::ExecutorDied { .. } => {
                &mut self.unavailable
            }
        } += rows as u64;
    }
}

/// Batches of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchTotals {
    /// Number of batches that ran.
    pub batches: u64,
    /// Sum of their run times.
    pub compute_time: Duration,
}
