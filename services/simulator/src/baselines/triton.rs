//! Triton's dynamic batcher (`src/dynamic_batch_scheduler.cc`): the largest preferred size that the
//! queue fills, or the whole queue once the oldest request has waited the queue delay. A batch may
//! grow until an executor takes it. Preferred sizes are the powers of two from 4 up.

use std::time::Duration;

use motet_batcher::Time;

use super::Fifo;
use crate::policy::{Action, Refused, ServerPolicy, SimulatedBatch};
use crate::traffic::Request;

/// Smallest preferred size.
const PREFERRED_MIN: usize = 4;

pub(crate) struct Triton {
    fifo: Fifo,
}

impl Triton {
    pub(crate) fn new(fifo: Fifo) -> Self {
        Triton { fifo }
    }

    /// Returns the largest preferred size that the queue fills.
    fn preferred(&self) -> Option<usize> {
        let rows = self.fifo.queue.len().min(self.fifo.max_batch_size);
        if rows == self.fifo.max_batch_size {
            return Some(rows);
        }
        Some(1_usize << rows.checked_ilog2()?).filter(|size| *size >= PREFERRED_MIN)
    }
}

impl ServerPolicy for Triton {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> Result<(), Refused> {
        self.fifo.push(now, number, request);
        Ok(())
    }

    fn poll(&mut self, now: Time) -> Action {
        let Some(oldest) = self.fifo.queue.front().map(|waiting| waiting.since) else {
            return Action::Idle;
        };
        if !self.fifo.has_free_executor() {
            return Action::Idle;
        }
        let until = oldest.after(self.fifo.delay);
        if until <= now {
            self.fifo.start(self.fifo.max_batch_size)
        } else if let Some(size) = self.preferred() {
            self.fifo.start(size)
        } else {
            Action::WaitUntil(until)
        }
    }

    fn complete(&mut self, _now: Time, _batch: &SimulatedBatch, _duration: Duration) {
        self.fifo.completed();
    }

    fn queued(&self) -> usize {
        self.fifo.queue.len()
    }
}
