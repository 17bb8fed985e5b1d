//! Clipper's batching (Crankshaw et al., NSDI 2017): run the queue up to a size that grows by one
//! while batches meet the latency objective and shrinks by a tenth when one does not.

use std::time::Duration;

use motet_batcher::Time;

use super::Fifo;
use crate::policy::{Action, Refused, ServerPolicy, SimulatedBatch};
use crate::traffic::Request;

/// Latency objective where the options give none.
const OBJECTIVE: Duration = Duration::from_millis(200);
/// Factor of the size after a batch that missed the objective.
const DECREASE: f64 = 0.9;

pub(crate) struct Aimd {
    fifo: Fifo,
    objective: Duration,
    size: f64,
}

impl Aimd {
    pub(crate) fn new(fifo: Fifo) -> Self {
        let objective = fifo.max_latency.unwrap_or(OBJECTIVE);
        Aimd {
            fifo,
            objective,
            size: 1.0,
        }
    }
}

impl ServerPolicy for Aimd {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> Result<(), Refused> {
        self.fifo.push(now, number, request);
        Ok(())
    }

    fn poll(&mut self, _now: Time) -> Action {
        if self.fifo.has_free_executor() {
            self.fifo.start(self.size as usize)
        } else {
            Action::Idle
        }
    }

    fn complete(&mut self, _now: Time, batch: &SimulatedBatch, duration: Duration) {
        self.fifo.completed();
        if duration > self.objective {
            self.size = (self.size * DECREASE).max(1.0);
        } else if batch.requests.len() >= self.size as usize {
            self.size = (self.size + 1.0).min(self.fifo.max_batch_size as f64);
        }
    }

    fn queued(&self) -> usize {
        self.fifo.queue.len()
    }
}
