//! How rows leave without an answer.

use std::time::Duration;

use super::Scheduler;
use crate::bisection::Halves;
use crate::queue::Queue;
use crate::{Dropped, Refusal, Row, RowId, Ticket, Time};

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
        self.announced.forget(ticket.call);
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
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// Rows leave because their deadline came.
    pub(super) fn drop_expired(&mut self, rows: Vec<Row>) {
        self.stats.rows_expired += rows.len() as u64;
        let dropped = rows.into_iter().map(|row| Dropped {
            row,
            refusal: Refusal::DeadlineExceeded,
        });
        self.dropped.extend(dropped);
    }

    /// Rows leave because a run of `predicted` that begins now would end after their deadline.
    pub(super) fn drop_hopeless(&mut self, now: Time, rows: Vec<Row>, predicted: Duration) {
        self.stats.rows_expired += rows.len() as u64;
        let dropped = rows.into_iter().map(|row| {
            let end = now.after(predicted);
            let retry_after = row.deadline.map_or(Duration::ZERO, |at| end.since(at));
            Dropped {
                row,
                refusal: Refusal::WouldBeLate {
                    predicted,
                    retry_after,
                },
            }
        });
        self.dropped.extend(dropped);
    }
}
