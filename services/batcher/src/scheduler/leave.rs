//! How rows leave without an answer.

use super::Scheduler;
use crate::bisection::Halves;
use crate::queue::Queue;
use crate::{Row, RowId, Ticket};

impl Scheduler {
    /// The caller of a call went away: its waiting rows leave, and what is running of it is not run again. Returns how many rows left.
    pub fn cancel(&mut self, ticket: &Ticket) -> usize {
        let left = self.remove(ticket);
        self.stats.rows_cancelled += left as u64;
        left
    }

    /// The deadline of a call came, or cannot be met: as [`Scheduler::cancel`], counted as expired.
    pub fn expire(&mut self, ticket: &Ticket) -> usize {
        let left = self.remove(ticket);
        self.stats.rows_expired += left as u64;
        left
    }

    fn remove(&mut self, ticket: &Ticket) -> usize {
        let ids = ticket.first.0..ticket.first.0 + ticket.rows as u64;
        let queued = ids
            .filter(|&id| self.queue.remove(RowId(id)).is_some())
            .count();
        let mut left = queued + self.halves.cancel(ticket.call);
        for running in &mut self.running {
            let before = running.rows.len();
            running.rows.retain(|row| row.call != ticket.call);
            left += before - running.rows.len();
        }
        left
    }

    /// Forgets every waiting row; they count as failed.
    pub fn clear(&mut self) {
        self.stats.rows_failed += self.queued() as u64;
        self.queue = Queue::default();
        self.halves = Halves::default();
    }

    /// Rows that left unanswered since the last call of this, because their deadline came or could not be met.
    pub fn take_dropped(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.dropped)
    }

    pub(super) fn drop_rows(&mut self, rows: Vec<Row>) {
        self.stats.rows_expired += rows.len() as u64;
        self.dropped.extend(rows);
    }
}
