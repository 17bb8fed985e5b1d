//! The batcher of KServe's agent (`pkg/batcher/handler.go`): a timer from the first arrival, then size or latency, one batch at a time for each executor.

use std::time::Duration;

use super::Common;
use crate::Time;
use crate::simulator::{Contender, Next, Request, Started};

pub(crate) struct KServe {
    common: Common,
}

impl KServe {
    pub(crate) fn new(common: Common) -> Self {
        KServe { common }
    }
}

impl Contender for KServe {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> bool {
        self.common.push(now, number, request);
        true
    }

    fn poll(&mut self, now: Time) -> Next {
        let Some(oldest) = self.common.queue.front().map(|waiting| waiting.since) else {
            return Next::Idle;
        };
        let until = oldest.after(self.common.delay);
        if !self.common.has_free_executor() {
            Next::Idle
        } else if self.common.queue.len() >= self.common.max_batch_size || until <= now {
            self.common.start(self.common.max_batch_size)
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
