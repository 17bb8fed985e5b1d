//! Removal: rows leave without an answer.

use std::time::Duration;

use super::Scheduler;
use crate::arrival::Ticket;
use crate::decision::Dropped;
use crate::formation::Draft;
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::retry_queue::RetryQueue;
use crate::row::{CallId, Row, Work};
use crate::time::Time;

impl Scheduler {
    /// Removes a call whose caller went away: its waiting rows leave, and its running rows are not
    /// run again. Returns the number of rows removed.
    pub fn cancel(&mut self, ticket: &Ticket) -> usize {
        let removed = self.remove(ticket);
        self.stats.rows_cancelled += removed as u64;
        removed
    }

    /// Removes a call whose deadline came, or cannot be met: as [`Scheduler::cancel`], counted as
    /// expired.
    pub fn expire(&mut self, ticket: &Ticket) -> usize {
        let removed = self.remove(ticket);
        self.stats.rows_expired += removed as u64;
        removed
    }

    fn remove(&mut self, ticket: &Ticket) -> usize {
        let waiting = self.take_waiting(ticket.call);
        waiting.len() + self.abandon(ticket.call)
    }

    /// Takes the rows of a call out of the queue and the retries.
    pub(super) fn take_waiting(&mut self, call: CallId) -> Vec<Row> {
        let mut rows = self.queue.take_call(call);
        rows.extend(self.retries.take_call(call));
        rows
    }

    /// Takes note that nobody waits for a call any more; its running rows are not run again.
    /// Returns their number.
    pub(super) fn abandon(&mut self, call: CallId) -> usize {
        self.announcements.forget(call);
        let mut abandoned = 0;
        for running in &mut self.running {
            let before = running.rows.len();
            running.rows.retain(|row| row.call != call);
            abandoned += before - running.rows.len();
        }
        abandoned
    }

    /// Removes every waiting row; they count as failed.
    pub fn clear(&mut self) {
        self.stats.rows_failed += self.queued() as u64;
        self.queue = Queue::default();
        self.retries = RetryQueue::default();
        self.trials.clear();
    }

    /// Returns the rows given up by [`Scheduler::poll`] since the last call of this method, because
    /// their deadline came or could not be met. They are all waiting rows of their calls; running
    /// ones are removed as by [`Scheduler::cancel`].
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// Gives up the waiting rows whose deadline has come.
    pub(super) fn drop_expired(&mut self, now: Time) {
        let mut expired = self.retries.take_expired(now);
        expired.extend(self.queue.take_expired(now));
        self.give_up(expired, &Refusal::DeadlineExceeded);
    }

    /// Gives up the calls of queued rows that a run of `seconds` from now would answer after their
    /// deadline. All waiting rows of such a call leave: without these it is not answered.
    pub(super) fn drop_hopeless(&mut self, now: Time, rows: &[Row], seconds: f64) {
        for row in rows {
            let waiting = self.take_waiting(row.call);
            if let Some(refusal) = self.lateness(now, &waiting, seconds) {
                self.give_up(waiting, &refusal);
            }
        }
    }

    /// Returns the reason for which the waiting rows of a call would be late in a run of `seconds`
    /// from now: too much work of its own, or else the time that it has waited. `None` if there are
    /// no rows, or they have no deadline.
    fn lateness(&self, now: Time, rows: &[Row], seconds: f64) -> Option<Refusal> {
        let (arrived, deadline) = rows.first().map(|row| (row.arrived, row.deadline))?;
        let deadline = deadline?;
        let draft: Draft = rows.iter().copied().collect();
        let own = Work {
            rows: rows.len(),
            tokens: draft.tokens(self.options.layout),
        };
        let predicted = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let would_be_late = Refusal::WouldBeLate {
            predicted,
            retry_after: now.after(predicted).since(deadline),
        };
        let own_work = self.check_own_work(own, deadline.since(arrived));
        Some(own_work.err().unwrap_or(would_be_late))
    }

    /// Drops rows that are in no queue any more, and abandons their calls.
    fn give_up(&mut self, rows: Vec<Row>, refusal: &Refusal) {
        for row in rows {
            self.stats.rows_expired += 1 + self.abandon(row.call) as u64;
            let refusal = refusal.clone();
            self.dropped.push(Dropped { row, refusal });
        }
    }
}
