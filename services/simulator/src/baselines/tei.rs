//! The queue of Text Embeddings Inference (`core/src/infer.rs`, `core/src/queue.rs`): a budget of
//! tokens, no window, and one batch formed ahead while the executor is busy.

use std::time::Duration;

use motet_batcher::Time;

use super::Fifo;
use crate::policy::{Action, Refused, ServerPolicy, SimulatedBatch};
use crate::traffic::Request;

/// Batches formed ahead.
const PREFETCHED: usize = 1;

pub(crate) struct Tei {
    fifo: Fifo,
}

impl Tei {
    pub(crate) fn new(fifo: Fifo) -> Self {
        Tei { fifo }
    }
}

impl ServerPolicy for Tei {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> Result<(), Refused> {
        self.fifo.push(now, number, request);
        Ok(())
    }

    fn poll(&mut self, _now: Time) -> Action {
        if self.fifo.in_flight < self.fifo.executors + PREFETCHED {
            self.fifo.start(usize::MAX)
        } else {
            Action::Idle
        }
    }

    fn complete(&mut self, _now: Time, _batch: &SimulatedBatch, _duration: Duration) {
        self.fifo.completed();
    }

    fn queued(&self) -> usize {
        self.fifo.queue.len()
    }
}
