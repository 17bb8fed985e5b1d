//! Text Embeddings Inference's queue (`core/src/infer.rs`, `core/src/queue.rs`): a budget of tokens, no window, and one batch formed ahead while the executor is busy.

use std::time::Duration;

use super::Common;
use crate::Time;
use crate::simulator::{Contender, Next, Request, Started};

const PREFETCHED: usize = 1;

pub(crate) struct Tei {
    common: Common,
}

impl Tei {
    pub(crate) fn new(common: Common) -> Self {
        Tei { common }
    }
}

impl Contender for Tei {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> bool {
        self.common.push(now, number, request);
        true
    }

    fn poll(&mut self, _now: Time) -> Next {
        if self.common.in_flight < self.common.executors + PREFETCHED {
            self.common.start(usize::MAX)
        } else {
            Next::Idle
        }
    }

    fn complete(&mut self, _now: Time, _started: &Started, _duration: Duration) {
        self.common.completed();
    }

    fn queued(&self) -> usize {
        self.common.queue.len()
    }
}
