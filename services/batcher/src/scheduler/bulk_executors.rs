//! Executors for bulk rows alone, whose batches give way: while an executor of the other kind
//! computes, they pause between two steps of their own.
//!
//! Bulk rows then take nothing of interactive batches and are in none of them. They run in batches
//! as large as pay, since nobody waits for the end of one. Whoever shares out the processor owes
//! them their share of it ([`Options::bulk_share`](crate::Options::bulk_share)).

use std::time::Duration;

use super::{ExecutorKind, Running, Scheduler};
use crate::decision::{Cause, Decision};
use crate::row::{BatchId, Priority};
use crate::time::Time;

impl Scheduler {
    /// Adds bulk executors: they run bulk rows alone, and give way to the other executors.
    #[must_use]
    pub fn with_bulk_executors(self, count: usize) -> Self {
        Self {
            bulk_executors: count,
            ..self
        }
    }

    /// Takes note that one bulk executor is gone for good. Without any, the other executors run
    /// bulk rows.
    pub fn retire_bulk_executor(&mut self) {
        self.bulk_executors = self.bulk_executors.saturating_sub(1);
    }

    /// Returns what a free bulk executor does now: it runs bulk rows, or nothing.
    ///
    /// Rows are given up as by [`Scheduler::poll`].
    pub fn poll_bulk(&mut self, now: Time) -> Decision {
        if self.free_bulk_executors() == 0 {
            return Decision::Idle;
        }
        self.drop_expired(now);
        let draft = self.form(now, Priority::Bulk);
        if draft.rows.is_empty() {
            return Decision::Idle;
        }
        self.queue.take_running(&draft.rows);
        Decision::Run(self.start(now, draft, Cause::Ready, ExecutorKind::Bulk))
    }

    /// Number of bulk executors that are alive and run no batch.
    pub(crate) fn free_bulk_executors(&self) -> usize {
        self.bulk_executors
            .saturating_sub(self.running_on(ExecutorKind::Bulk))
    }

    /// `true` while a bulk executor can run bulk rows, now or later.
    pub(crate) fn has_bulk_executors(&self) -> bool {
        self.bulk_executors > self.stuck_on(ExecutorKind::Bulk)
    }

    /// Returns the time for which a batch that runs gave way to others: that in which one of an
    /// executor of the other kind was running as well.
    pub(crate) fn gave_way(&self, now: Time, id: BatchId) -> Duration {
        let Some(batch) = self.running.iter().find(|running| running.id == id) else {
            return Duration::ZERO;
        };
        let others = self.running.iter();
        let others = others.filter(|other| batch.on != other.on && batch.on == ExecutorKind::Bulk);
        let earliest = others.map(|other| other.started).min();
        earliest.map_or(batch.gave_way, |other| batch.gave_way_with(now, other))
    }

    /// Adds the time for which batches on bulk executors gave way to one that started at `started`
    /// and ends.
    pub(super) fn end_giving_way(&mut self, now: Time, started: Time) {
        let running = self.running.iter_mut();
        for bulk in running.filter(|running| running.on == ExecutorKind::Bulk) {
            let gave_way = bulk.gave_way_with(now, started);
            bulk.stuck_at = bulk.stuck_at.after(gave_way - bulk.gave_way);
            bulk.gave_way = gave_way;
        }
    }
}

impl Running {
    /// Returns the time for which this batch gave way, with that since it and another one, which
    /// started at `other`, have both been running.
    fn gave_way_with(&self, now: Time, other: Time) -> Duration {
        let both = now.since(self.started.max(other));
        (self.gave_way + both).min(now.since(self.started))
    }
}
