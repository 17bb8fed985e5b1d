//! MLServer's adaptive batching (`mlserver/batching/adaptive.py`): a fixed window from the first
//! request, or a full batch. Any number of batches may be in flight, so a batch is bound before an
//! executor is free.

use std::time::Duration;

use motet_batcher::Time;

use super::Fifo;
use crate::policy::{Action, Refused, ServerPolicy, SimulatedBatch};
use crate::traffic::Request;

pub(crate) struct MlServer {
    fifo: Fifo,
}

impl MlServer {
    pub(crate) fn new(fifo: Fifo) -> Self {
        MlServer { fifo }
    }
}

impl ServerPolicy for MlServer {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> Result<(), Refused> {
        self.fifo.push(now, number, request);
        Ok(())
    }

    fn poll(&mut self, now: Time) -> Action {
        let Some(oldest) = self.fifo.queue.front().map(|waiting| waiting.since) else {
            return Action::Idle;
        };
        let until = oldest.after(self.fifo.delay);
        if self.fifo.queue.len() >= self.fifo.max_batch_size || until <= now {
            self.fifo.start(self.fifo.max_batch_size)
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
