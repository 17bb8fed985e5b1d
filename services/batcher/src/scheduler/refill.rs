//! Rows of waiting calls enter the queue, as room comes.

use super::Scheduler;
use crate::fair_queue::part_of;
use crate::formation;
use crate::quantum;
use crate::row::{Priority, Work};
use crate::time::Time;

impl Scheduler {
    /// A part of a call: a quantum, or a batch where that is less.
    pub(super) fn part(&self) -> Work {
        let caps = self.caps();
        Work {
            rows: caps.rows,
            tokens: quantum::tokens(&self.learnt.cost, caps.tokens),
        }
    }

    /// Makes rows of waiting calls ready until there are enough to form a batch. Rows of calls that
    /// are behind their share always are; while short calls come, further rows of long calls take
    /// a quantum alone, or lengthen a batch of others by a little.
    pub(super) fn refill(&mut self, now: Time, priority: Priority) {
        if self.queue.lane(priority).has_no_backlog() {
            return;
        }
        let (caps, part) = (self.caps(), self.part());
        let ready = self.queue.lane(priority).ready();
        let mut later = match self.recent.are_short(now) {
            false => u64::MAX,
            true if ready.rows == 0 => part.tokens,
            true => quantum::extension(&self.learnt.cost, ready),
        };
        loop {
            let lane = self.queue.lane(priority);
            let Some(next) = lane.next(part) else {
                return;
            };
            let waiting = lane.waiting_tokens(next.call);
            let mut count = part_of(waiting, part);
            if !next.is_due && formation::is_enough(lane, &caps) {
                return;
            }
            if !next.is_first && !next.is_due {
                let most = Work {
                    tokens: later,
                    ..part
                };
                count = count.min(part_of(waiting, most));
                let tokens = waiting[..count].iter().map(|&t| u64::from(t)).sum::<u64>();
                let over = u64::from(waiting[0] / 2);
                if tokens > later.saturating_add(over) && lane.ready_len() > 0 {
                    return;
                }
                later = later.saturating_sub(tokens);
            }
            let lane = self.queue.lane_mut(priority);
            lane.release(now, next.call, count, part);
        }
    }
}
