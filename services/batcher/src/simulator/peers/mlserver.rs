//! MLServer's adaptive batching (`mlserver/batching/adaptive.py`): a fixed window from the first request, or a full batch; any number of batches in flight, so they are bound before
//! an executor is free.

use std::time::Duration;

use super::Common;
use crate::Time;
use crate::simulator::{Contender, Next, Request, Started};

pub(crate) struct MlServer {
    common: Common,
}

impl MlServer {
    pub(crate) fn new(common: Common) -> Self {
        MlServer { common }
    }
}

impl Contender for MlServer {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> bool {
        self.common.push(now, number, request);
        true
    }

    fn poll(&mut self, now: Time) -> Next {
        let Some(oldest) = self.common.queue.front().map(|waiting| waiting.since) else {
            return Next::Idle;
        };
        let until = oldest.after(self.common.delay);
        if self.common.queue.len() >= self.common.max_batch_size || until <= now {
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
