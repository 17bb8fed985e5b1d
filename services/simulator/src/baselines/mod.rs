//! The batching policies of other servers, each as its sources or paper give it. All are first in,
//! first out without admission control unless said otherwise.
//!
//! * `aimd`: Clipper
//! * `bentoml`: BentoML
//! * `kserve`: the agent of KServe
//! * `mlserver`: MLServer
//! * `tei`: Text Embeddings Inference
//! * `triton`: Triton Inference Server

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

use motet_batcher::{Layout, Options, Time};

use crate::policy::{Action, SimulatedBatch};
use crate::traffic::Request;

/// A request in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedRequest {
    pub(crate) number: usize,
    pub(crate) tokens: u32,
    pub(crate) since: Time,
}

/// State that all of them have: a queue, limits of a batch, and the batches in flight.
#[derive(Debug)]
pub(crate) struct Fifo {
    pub(crate) queue: VecDeque<QueuedRequest>,
    pub(crate) max_batch_size: usize,
    pub(crate) max_batch_tokens: u64,
    /// The window of the policies that have one.
    pub(crate) delay: Duration,
    pub(crate) max_latency: Option<Duration>,
    pub(crate) executors: usize,
    pub(crate) in_flight: usize,
    layout: Layout,
    next_batch: u64,
}

impl Fifo {
    pub(crate) fn new(options: &Options, executors: usize) -> Self {
        Fifo {
            queue: VecDeque::new(),
            max_batch_size: options.batch_rows_max(),
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
        let row = QueuedRequest {
            number,
            tokens: request.tokens,
            since: now,
        };
        self.queue.extend(std::iter::repeat_n(row, request.rows));
    }

    pub(crate) fn has_free_executor(&self) -> bool {
        self.in_flight < self.executors
    }

    pub(crate) fn completed(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Returns the time that the oldest and the newest request have waited.
    pub(crate) fn waits(&self, now: Time) -> Option<(Duration, Duration)> {
        Some((
            now.since(self.queue.front()?.since),
            now.since(self.queue.back()?.since),
        ))
    }

    /// Starts a batch of the oldest requests, at most `rows` of them and within the token limit.
    pub(crate) fn start(&mut self, rows: usize) -> Action {
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
            return Action::Idle;
        }
        self.in_flight += 1;
        self.next_batch += 1;
        let tokens = self.layout.tokens(requests.len(), sum, longest);
        Action::Run(SimulatedBatch {
            batch: self.next_batch,
            requests,
            tokens,
        })
    }
}
