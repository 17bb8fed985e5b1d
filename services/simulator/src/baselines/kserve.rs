//! The batcher of KServe's agent (`pkg/batcher/handler.go`): a full batch or a fixed latency, one
//! batch at a time for each executor.
//!
//! Its loop takes requests only between batches, so the timer of the next batch starts when the one
//! before it has ended, however long its first request has waited by then.

use std::time::Duration;

use motet_batcher::Time;

use super::Fifo;
use crate::policy::{Action, Refused, ServerPolicy, SimulatedBatch};
use crate::traffic::Request;

pub(crate) struct KServe {
    fifo: Fifo,
    ended: Time,
}

impl KServe {
    pub(crate) fn new(fifo: Fifo) -> Self {
        KServe {
            fifo,
            ended: Time::ZERO,
        }
    }
}

impl ServerPolicy for KServe {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> Result<(), Refused> {
        self.fifo.push(now, number, request);
        Ok(())
    }

    fn poll(&mut self, now: Time) -> Action {
        let Some(oldest) = self.fifo.queue.front().map(|waiting| waiting.since) else {
            return Action::Idle;
        };
        let until = oldest.max(self.ended).after(self.fifo.delay);
        if !self.fifo.has_free_executor() {
            Action::Idle
        } else if self.fifo.queue.len() >= self.fifo.max_batch_size || until <= now {
            self.fifo.start(self.fifo.max_batch_size)
        } else {
            Action::WaitUntil(until)
        }
    }

    fn complete(&mut self, now: Time, _batch: &SimulatedBatch, _duration: Duration) {
        self.fifo.completed();
        self.ended = now;
    }

    fn queued(&self) -> usize {
        self.fifo.queue.len()
    }
}
