//! The batching policies of other servers, each in the form that its sources or paper give; first in, first out, without admission control unless said otherwise.

mod aimd;
mod bentoml;
mod kserve;
mod mlserver;
mod tei;
mod triton;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use aimd::Aimd;
pub(crate) use bentoml::BentoMl;
pub(crate) use kserve::KServe;
pub(crate) use mlserver::MlServer;
pub(crate) use tei::Tei;
pub(crate) use triton::Triton;

use super::{Next, Request, Started};
use crate::{Layout, Options, Time};

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) number: usize,
    pub(crate) tokens: u32,
    pub(crate) since: Time,
}

/// What all of them have: a queue, caps, and batches in flight.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) queue: VecDeque<Waiting>,
    pub(crate) max_batch_size: usize,
    pub(crate) max_batch_tokens: u64,
    /// The window of those that have one.
    pub(crate) delay: Duration,
    pub(crate) max_latency: Option<Duration>,
    pub(crate) executors: usize,
    pub(crate) in_flight: usize,
    layout: Layout,
    next_batch: u64,
}

impl Common {
    pub(crate) fn new(options: &Options, executors: usize) -> Self {
        Common {
            queue: VecDeque::new(),
            max_batch_size: options.max_batch_size,
            max_batch_tokens: options.max_batch_tokens,
            delay: options.max_queue_delay,
            max_latency: options.max_latency,
            executors,
            in_flight: 0,
            layout: options.layout,
            next_batch: 0,
        }
    }

    pub(crate) fn push(&mut self, now: Time, number: usize, request: &Request) {
        self.queue.push_back(Waiting {
            number,
            tokens: request.tokens,
            since: now,
        });
    }

    pub(crate) fn has_free_executor(&self) -> bool {
        self.in_flight < self.executors
    }

    pub(crate) fn completed(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// How long the oldest and the newest have waited.
    pub(crate) fn waits(&self, now: Time) -> Option<(Duration, Duration)> {
        Some((
            now.since(self.queue.front()?.since),
            now.since(self.queue.back()?.since),
        ))
    }

    /// Starts the oldest, at most `rows` of them and within the token cap.
    pub(crate) fn start(&mut self, rows: usize) -> Next {
        let (mut requests, mut sum, mut longest) = (Vec::new(), 0, 0);
        while let Some(waiting) = self.queue.front() {
            let (sum_with, longest_with) =
                (sum + u64::from(waiting.tokens), longest.max(waiting.tokens));
            let fits = requests.len() < rows
                && self
                    .layout
                    .tokens(requests.len() + 1, sum_with, longest_with)
                    <= self.max_batch_tokens;
            if !fits && !requests.is_empty() {
                break;
            }
            requests.push(waiting.number);
            (sum, longest) = (sum_with, longest_with);
            self.queue.pop_front();
        }
        if requests.is_empty() {
            return Next::Idle;
        }
        self.in_flight += 1;
        self.next_batch += 1;
        let tokens = self.layout.tokens(requests.len(), sum, longest);
        Next::Run(Started {
            batch: self.next_batch,
            requests,
            tokens,
        })
    }
}
