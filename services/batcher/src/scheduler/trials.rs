//! Trials: runs that correct an estimate which is too high.
//!
//! A call whose work is estimated to take longer than its deadline allows is refused, and only a
//! run can show that the estimate is wrong. Where nothing else runs, one row of such a call runs as
//! a trial after the refusal; no caller waits for its result.

use std::time::Duration;

use super::{ExecutorKind, Scheduler, Stage};
use crate::arrival::Arrival;
use crate::decision::{Batch, Cause};
use crate::row::{BatchId, CallId, Row, RowId};
use crate::time::Time;

/// Shortest time between two trials.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Time between two trials, in durations of the last: trials take at most a twentieth of the time.
const PAUSE_DURATIONS: u32 = 19;

/// The trial that waits or runs, and the time of the next.
#[derive(Debug, Default)]
pub(super) struct Trials {
    waiting: Option<Row>,
    running: Option<BatchId>,
    next: Time,
}

impl Trials {
    /// Drops the trial that waits.
    pub(super) fn clear(&mut self) {
        self.waiting = None;
    }

    /// Records that a batch ended, which may be a trial.
    pub(super) fn ended(&mut self, now: Time, batch: BatchId, duration: Duration) {
        if self.running.take_if(|running| *running == batch).is_some() {
            self.next = now.after(PAUSE_MIN.max(duration * PAUSE_DURATIONS));
        }
    }
}

impl Scheduler {
    /// Queues the longest row of a call that was refused with
    /// [`Refusal::DeadlineTooShort`](crate::Refusal::DeadlineTooShort) as a trial, and returns the
    /// call's identity in that batch. `None` unless the system is idle and no trial has run lately.
    ///
    /// The batch has [`Cause::Trial`]; its row counts as neither admitted nor answered.
    pub fn queue_trial(&mut self, now: Time, arrival: &Arrival<'_>) -> Option<CallId> {
        let is_due = self.trials.waiting.is_none() && self.trials.next <= now;
        if !is_due || !self.is_idle() || self.stage != Stage::Serving || self.executors == 0 {
            return None;
        }
        // It takes the largest part of the call's time.
        let lengths = arrival.tokens.iter().copied().enumerate();
        let (index, tokens) = lengths.max_by_key(|(_, tokens)| *tokens)?;
        let call = CallId(self.next.call);
        self.trials.waiting = Some(Row {
            id: RowId(self.next.row),
            call,
            index,
            call_rows: 1,
            tokens,
            group: 0,
            arrived: now,
            deadline: None,
            due: now,
            priority: arrival.priority,
            request: None,
        });
        self.next.call += 1;
        self.next.row += 1;
        Some(call)
    }

    /// Starts the trial that waits.
    pub(super) fn start_trial(&mut self, now: Time) -> Option<Batch> {
        let row = self.trials.waiting.take()?;
        let draft = [row].into_iter().collect();
        let batch = self.start(now, draft, Cause::Trial, ExecutorKind::General);
        self.trials.running = Some(batch.id);
        // No caller waits for the row.
        if let Some(running) = self.running.last_mut() {
            running.rows.clear();
        }
        Some(batch)
    }

    /// `true` if no row waits or runs.
    pub(super) fn is_idle(&self) -> bool {
        self.queued() == 0 && self.running.is_empty()
    }
}
