//! Clipper's batching (Crankshaw et al., NSDI 2017): run what is queued up to a size that grows by one while batches meet the objective and shrinks by a tenth when
//! one does not.

use std::time::Duration;

use super::Common;
use crate::Time;
use crate::simulator::{Contender, Next, Request, Started};

const OBJECTIVE: Duration = Duration::from_millis(200);
const DECREASE: f64 = 0.9;

pub(crate) struct Aimd {
    common: Common,
    objective: Duration,
    size: f64,
}

impl Aimd {
    pub(crate) fn new(common: Common) -> Self {
        let objective = common.max_latency.unwrap_or(OBJECTIVE);
        Aimd {
            common,
            objective,
            size: 1.0,
        }
    }
}

impl Contender for Aimd {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> bool {
        self.common.push(now, number, request);
        true
    }

    fn poll(&mut self, _now: Time) -> Next {
        if self.common.has_free_executor() {
            self.common.start(self.size as usize)
        } else {
            Next::Idle
        }
    }

    fn complete(&mut self, _now: Time, started: &Started, duration: Duration) {
        self.common.completed();
        if duration > self.objective {
            self.size = (self.size * DECREASE).max(1.0);
        } else if started.requests.len() >= self.size as usize {
            self.size = (self.size + 1.0).min(self.common.max_batch_size as f64);
        }
    }

    fn queued(&self) -> usize {
        self.common.queue.len()
    }
}
