//! Removal: rows leave without an answer.

use std::time::Duration;

use super::Scheduler;
use crate::arrival::Ticket;
use crate::decision::Dropped;
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::retry_queue::RetryQueue;
use crate::row::{Row, RowId};
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
        self.announcements.forget(ticket.call);
        let ids = ticket.first.0..ticket.first.0 + ticket.rows as u64;
        let queued = ids
            .filter(|&id| self.queue.remove(RowId(id)).is_some())
            .count();
        let mut removed = queued + self.retries.cancel(ticket.call);
        for running in &mut self.running {
            let before = running.rows.len();
            running.rows.retain(|row| row.call != ticket.call);
            removed += before - running.rows.len();
        }
        removed
    }

    /// Removes every waiting row; they count as failed.
    pub fn clear(&mut self) {
        self.stats.rows_failed += self.queued() as u64;
        self.queue = Queue::default();
        self.retries = RetryQueue::default();
    }

    /// Returns the rows given up by [`Scheduler::poll`] since the last call of this method, because
    /// their deadline came or could not be met.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// Gives up the waiting rows whose deadline has come.
    pub(super) fn drop_expired(&mut self, now: Time) {
        let retries = self.retries.take_expired(now);
        let queued = self.queue.take_expired(now);
        for row in retries.into_iter().chain(queued) {
            self.give_up(row, Refusal::DeadlineExceeded);
        }
    }

    /// Gives up queued rows that a run of `seconds` from now would answer after their deadline.
    pub(super) fn drop_hopeless(&mut self, now: Time, rows: Vec<Row>, seconds: f64) {
        let predicted = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let end = now.after(predicted);
        for row in rows {
            self.queue.remove(row.id);
            let retry_after = row.deadline.map_or(Duration::ZERO, |at| end.since(at));
            let refusal = Refusal::WouldBeLate {
                predicted,
                retry_after,
            };
            self.give_up(row, refusal);
        }
    }

    fn give_up(&mut self, row: Row, refusal: Refusal) {
        self.stats.rows_expired += 1;
        self.dropped.push(Dropped { row, refusal });
    }
}
