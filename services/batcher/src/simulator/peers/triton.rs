//! Triton's dynamic batcher (`src/dynamic_batch_scheduler.cc`): the largest preferred size that can be filled, or whatever is there once the oldest has
//! waited the queue delay; a batch may grow until an executor takes it. Preferred sizes are the powers of two from 4 up.

use std::time::Duration;

use super::Common;
use crate::Time;
use crate::simulator::{Contender, Next, Request, Started};

const PREFERRED_MIN: usize = 4;

pub(crate) struct Triton {
    common: Common,
}

impl Triton {
    pub(crate) fn new(common: Common) -> Self {
        Triton { common }
    }

    /// The largest preferred size that the queue fills.
    fn preferred(&self) -> Option<usize> {
        let rows = self.common.queue.len().min(self.common.max_batch_size);
        if rows == self.common.max_batch_size {
            return Some(rows);
        }
        Some(1_usize << rows.checked_ilog2()?).filter(|size| *size >= PREFERRED_MIN)
    }
}

impl Contender for Triton {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> bool {
        self.common.push(now, number, request);
        true
    }

    fn poll(&mut self, now: Time) -> Next {
        let Some(oldest) = self.common.queue.front().map(|waiting| waiting.since) else {
            return Next::Idle;
        };
        if !self.common.has_free_executor() {
            return Next::Idle;
        }
        let until = oldest.after(self.common.delay);
        if until <= now {
            self.common.start(self.common.max_batch_size)
        } else if let Some(size) = self.preferred() {
            self.common.start(size)
        } else {
            Next::WaitUntil(until)
        }
    }

    fn complete(&mut self, _now: Time, _started: &Started, _duration: Duration) {
        self.common.completed();
    }

    fn queued(&self) -> usize {
        self.common.queue.len()
    }
}
