//! Batches on executors: how they start and end.

use std::time::Duration;

use super::{Running, Scheduler, learn};
use crate::forecast::Class;
use crate::formation::Draft;
use crate::{Batch, BatchId, Cause, Outcome, Priority, Time, Verdict, Window};

impl Scheduler {
    /// Takes a draft out of the queue and starts it.
    pub(super) fn run(&mut self, now: Time, draft: Draft, cause: Cause) -> Batch {
        let contended = !self.queue.lane(Priority::Bulk).is_empty();
        for row in &draft.rows {
            self.queue.remove(row.id);
        }
        if contended {
            let seconds = self.cost.predict(draft.tokens(self.options.layout));
            let bulk = draft
                .rows
                .iter()
                .filter(|row| row.priority == Priority::Bulk);
            let bulk: u64 = bulk.map(|row| u64::from(row.tokens)).sum();
            let bulk_seconds = seconds * bulk as f64 / draft.sum.max(1) as f64;
            self.bulk_credit
                .account(&self.cost, self.options.bulk_share, seconds, bulk_seconds);
        }
        self.start(now, draft, cause)
    }

    pub(super) fn start(&mut self, now: Time, draft: Draft, cause: Cause) -> Batch {
        let tokens = draft.tokens(self.options.layout);
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.stats.batches_started += 1;
        self.point = None;
        let waiting = self.waiting.take();
        let waited = waiting.map_or(Duration::ZERO, |waiting| now.since(waiting.since));
        let window = waiting.map(|waiting| Window {
            actual_rows: draft.rows.len().saturating_sub(waiting.rows),
            ..waiting.window
        });
        self.stats.deliberate_wait += waited;
        learn(&mut self.usual_batch_rows, draft.rows.len() as f64);
        let end = now.plus_seconds(self.cost.predict(tokens));
        self.account(now);
        self.running.push(Running {
            id,
            started: now,
            end,
            tokens,
            size: draft.rows.len(),
            rows: draft.rows.clone(),
        });
        Batch {
            id,
            rows: draft.rows,
            tokens,
            cause,
            waited,
            window,
        }
    }

    /// A batch ended; says what becomes of its rows. Unknown batches are ignored.
    pub fn complete(&mut self, now: Time, id: BatchId, outcome: Outcome) -> Verdict {
        let Some(place) = self.running.iter().position(|running| running.id == id) else {
            return Verdict::Fail;
        };
        self.account(now);
        let Running {
            started,
            tokens,
            size,
            rows,
            ..
        } = self.running.swap_remove(place);
        let duration = now.since(started);
        self.stats.compute_time += duration;
        let verdict = match outcome {
            Outcome::Done => Verdict::Answer,
            // What is left of a batch of several rows runs again even if only one row is left of it: others may have been to blame.
            Outcome::Failed | Outcome::OutOfMemory if size > 1 => Verdict::Retry,
            Outcome::Failed | Outcome::OutOfMemory | Outcome::Crashed => Verdict::Fail,
        };
        if outcome == Outcome::OutOfMemory {
            self.memory.shrink(tokens);
            self.stats.memory_splits += u64::from(verdict == Verdict::Retry);
        }
        match verdict {
            Verdict::Answer => {
                self.cost.observe(tokens, duration);
                self.memory.grow(tokens, self.options.max_batch_tokens);
                self.stats.answered(&rows, size, started, duration);
            }
            Verdict::Retry => {
                self.stats.bisections += u64::from(outcome == Outcome::Failed);
                self.halves.split(rows);
            }
            Verdict::Fail => self.stats.rows_failed += rows.len() as u64,
        }
        self.forecast.open(now, Class::Completion, self.cost.a());
        if !self.queue.lane(Priority::Interactive).is_empty() {
            self.open_point(now, Class::Backlog);
        }
        verdict
    }

    pub(super) fn open_point(&mut self, now: Time, class: Class) {
        self.forecast.open(now, class, self.cost.a());
        self.point = Some((now, class));
    }
}
