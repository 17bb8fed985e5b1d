//! Batches on executors: their start and their end.

use std::time::Duration;

use super::{ExecutorKind, Running, Scheduler};
use crate::decision::{Batch, Cause, Outcome, Verdict};
use crate::forecast::DecisionPoint;
use crate::formation::Draft;
use crate::row::{BatchId, Priority};
use crate::time::Time;

impl Scheduler {
    /// Takes the rows of a draft out of the queue and starts it.
    pub(super) fn dispatch(&mut self, now: Time, draft: Draft, cause: Cause) -> Batch {
        let is_contended = !self.is_empty(Priority::Bulk);
        self.queue.take_running(&draft.rows);
        if is_contended {
            self.account_bulk(&draft);
        }
        self.start(now, draft, cause, ExecutorKind::General)
    }

    /// Accounts for the share of bulk rows in a batch that starts while some of them are queued.
    fn account_bulk(&mut self, draft: &Draft) {
        let cost = &self.learnt.cost;
        let seconds = cost.predict(draft.tokens(self.options.layout));
        let bulk = draft
            .rows
            .iter()
            .filter(|row| row.priority == Priority::Bulk);
        let bulk: u64 = bulk.map(|row| u64::from(row.tokens)).sum();
        let bulk_seconds = seconds * bulk as f64 / draft.sum.max(1) as f64;
        self.bulk_credit
            .account(cost, self.options.bulk_share, seconds, bulk_seconds);
    }

    /// Starts a draft whose rows are in no queue, on an executor of this kind.
    pub(super) fn start(
        &mut self,
        now: Time,
        draft: Draft,
        cause: Cause,
        on: ExecutorKind,
    ) -> Batch {
        let tokens = draft.tokens(self.options.layout);
        let id = BatchId(self.next.batch);
        self.next.batch += 1;
        self.stats.batches_started += 1;
        let (deliberate_wait, window) = match on {
            ExecutorKind::General => {
                self.learnt.batch_rows.learn(draft.rows.len() as f64);
                self.waits.finish(now, draft.rows.len())
            }
            ExecutorKind::Bulk => (Duration::ZERO, None),
        };
        self.stats.deliberate_wait += deliberate_wait;
        self.record_utilization(now);
        let expected = self.learnt.cost.predict(tokens);
        self.running.push(Running {
            id,
            started: now,
            end: now.plus_seconds(expected),
            stuck_at: now.after(self.stuck_after(expected)),
            is_stuck: false,
            tokens,
            size: draft.rows.len(),
            rows: draft.rows.clone(),
            on,
            gave_way: Duration::ZERO,
        });
        Batch {
            id,
            rows: draft.rows,
            tokens,
            cause,
            deliberate_wait,
            window,
        }
    }

    /// Takes note that a batch ended; returns what happens to its rows. An unknown batch fails.
    pub fn complete(&mut self, now: Time, id: BatchId, outcome: Outcome) -> Verdict {
        let Some(index) = self.running.iter().position(|running| running.id == id) else {
            return Verdict::Fail;
        };
        self.record_utilization(now);
        let gave_way = self.gave_way(now, id);
        let batch = self.running.swap_remove(index);
        let batch = Running { gave_way, ..batch };
        let (on, started) = (batch.on, batch.started);
        if on == ExecutorKind::General {
            self.end_giving_way(now, started);
        }
        let verdict = match outcome {
            Outcome::Done => Verdict::Answer,
            // Its callers are gone.
            Outcome::Failed | Outcome::OutOfMemory if batch.is_stuck => Verdict::Fail,
            // The rows of a batch of several run again even if only one is left of them: others may
            // have been at fault.
            Outcome::Failed | Outcome::OutOfMemory if batch.size > 1 => Verdict::Retry,
            Outcome::Failed | Outcome::OutOfMemory | Outcome::Crashed => Verdict::Fail,
        };
        self.account_end(now, batch, outcome, verdict);
        if on == ExecutorKind::Bulk {
            return verdict;
        }
        let fixed = self.learnt.cost.fixed_seconds();
        self.learnt
            .forecast
            .watch(now, DecisionPoint::Completion, fixed);
        if !self.is_empty(Priority::Interactive) {
            self.open_point(now, DecisionPoint::Backlog);
        }
        verdict
    }

    /// Learns from a batch that ended, counts it, and queues its rows again if they are retried.
    fn account_end(&mut self, now: Time, batch: Running, outcome: Outcome, verdict: Verdict) {
        let Running {
            id,
            started,
            tokens,
            size,
            rows,
            is_stuck,
            on,
            gave_way,
            ..
        } = batch;
        let duration = now.since(started).saturating_sub(gave_way);
        self.stats.compute_time += duration;
        self.trials.ended(now, id, duration);
        if outcome == Outcome::OutOfMemory {
            self.learnt.memory.shrink(tokens);
            self.stats.memory_splits += u64::from(verdict == Verdict::Retry);
        }
        match verdict {
            Verdict::Answer => {
                if !is_stuck && gave_way.is_zero() {
                    self.learnt.cost.observe(tokens, duration);
                }
                let configured = self.options.max_batch_tokens;
                self.learnt.memory.grow(tokens, configured);
                self.stats.answered(&rows, size, started, duration);
                if on == ExecutorKind::General {
                    self.learnt.outstanding = size;
                }
            }
            Verdict::Retry => {
                self.stats.bisections += u64::from(outcome == Outcome::Failed);
                self.retries.split(rows);
            }
            Verdict::Fail => self.stats.rows_failed += rows.len() as u64,
        }
    }
}
