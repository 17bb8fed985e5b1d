//! The batcher of KServe's agent (`pkg/batcher/handler.go`): size or latency, one batch at a time for each executor. Its loop takes requests in only between batches, so the
//! timer of the next batch starts when the one before it has ended, however long its first request has waited by then.

use std::time::Duration;

use super::Common;
use crate::Time;
use crate::simulator::{Contender, Next, Request, Started};

pub(crate) struct KServe {
    common: Common,
    ended: Time,
}

impl KServe {
    pub(crate) fn new(common: Common) -> Self {
        KServe {
            common,
            ended: Time::ZERO,
        }
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
        let until = oldest.max(self.ended).after(self.common.delay);
        if !self.common.has_free_executor() {
            Next::Idle
        } else if self.common.queue.len() >= self.common.max_batch_size || until <= now {
            self.common.start(self.common.max_batch_size)
        } else {
            Next::WaitUntil(until)
        }
    }

    fn complete(&mut self, now: Time, _started: &Started, _duration: Duration) {
        self.common.completed();
        self.ended = now;
    }

    fn queued(&self) -> usize {
        self.common.queue.len()
    }
}
