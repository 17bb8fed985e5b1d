//! Handles that record the policies of a gateway's calls: one for each node that calls, one for
//! each model called.

use std::sync::Arc;

use opentelemetry::metrics::{Counter, Gauge};
use opentelemetry::{KeyValue, Value};

/// Counts refusals of one pipeline for lack of time.
#[derive(Clone, Debug)]
pub struct RefusalMetrics {
    refused: Counter<u64>,
    labels: Arc<[KeyValue]>,
}

impl RefusalMetrics {
    pub(super) fn new(refused: &Counter<u64>, pipeline: &str) -> Self {
        Self {
            refused: refused.clone(),
            labels: [label("pipeline", pipeline)].into(),
        }
    }

    /// Counts a request or node that was refused at once.
    pub fn refused(&self) {
        self.refused.add(1, &self.labels);
    }
}

/// Instruments of retries and hedges.
#[derive(Clone, Debug)]
pub(super) struct RepeatInstruments {
    pub(super) retries: Counter<u64>,
    pub(super) retries_refused: Counter<u64>,
    pub(super) hedges: Counter<u64>,
    pub(super) hedges_won: Counter<u64>,
    pub(super) hedges_refused: Counter<u64>,
}

/// Counts the retries and hedges of one node.
#[derive(Clone, Debug)]
pub struct RepeatMetrics {
    instruments: RepeatInstruments,
    labels: Arc<[KeyValue]>,
}

impl RepeatMetrics {
    pub(super) fn new(instruments: &RepeatInstruments, pipeline: &str, node: &str) -> Self {
        Self {
            instruments: instruments.clone(),
            labels: [label("pipeline", pipeline), label("node", node)].into(),
        }
    }

    /// Counts a retry.
    pub fn retried(&self) {
        self.instruments.retries.add(1, &self.labels);
    }

    /// Counts a retry that was not made; `reason` is a constant such as `budget`.
    pub fn retry_refused(&self, reason: &'static str) {
        let [pipeline, node] = [0, 1].map(|at| self.labels[at].clone());
        let labels = [pipeline, node, KeyValue::new("reason", reason)];
        self.instruments.retries_refused.add(1, &labels);
    }

    /// Counts a hedge.
    pub fn hedged(&self) {
        self.instruments.hedges.add(1, &self.labels);
    }

    /// Counts a hedge that answered before the first call.
    pub fn hedge_won(&self) {
        self.instruments.hedges_won.add(1, &self.labels);
    }

    /// Counts a hedge that was not made because the budget was spent.
    pub fn hedge_refused(&self) {
        self.instruments.hedges_refused.add(1, &self.labels);
    }
}

/// Instruments of circuit breakers.
#[derive(Clone, Debug)]
pub(super) struct CircuitInstruments {
    pub(super) open: Gauge<u64>,
    pub(super) openings: Counter<u64>,
    pub(super) refused: Counter<u64>,
}

/// Records the circuit breaker of one model.
#[derive(Clone, Debug)]
pub struct CircuitMetrics {
    instruments: CircuitInstruments,
    labels: Arc<[KeyValue]>,
}

impl CircuitMetrics {
    pub(super) fn new(instruments: &CircuitInstruments, model: &str) -> Self {
        Self {
            instruments: instruments.clone(),
            labels: [label("model", model)].into(),
        }
    }

    /// Records that the circuit opened, for the first time or again.
    pub fn opened(&self) {
        self.instruments.openings.add(1, &self.labels);
        self.instruments.open.record(1, &self.labels);
    }

    /// Records that the circuit closed.
    pub fn closed(&self) {
        self.instruments.open.record(0, &self.labels);
    }

    /// Counts a call that was refused because the circuit was open.
    pub fn refused(&self) {
        self.instruments.refused.add(1, &self.labels);
    }
}

/// Instruments of caches.
#[derive(Clone, Debug)]
pub(super) struct CacheInstruments {
    pub(super) rows: Counter<u64>,
    pub(super) bytes: Gauge<u64>,
    pub(super) evictions: Counter<u64>,
}

/// Records the cache of one model's answers.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    instruments: CacheInstruments,
    labels: Arc<[KeyValue]>,
    by_result: Arc<[[KeyValue; 2]; 3]>,
}

impl CacheMetrics {
    pub(super) fn new(instruments: &CacheInstruments, model: &str) -> Self {
        let model = label("model", model);
        let by_result = ["hit", "joined", "miss"].map(|result| {
            let result = KeyValue::new("result", result);
            [model.clone(), result]
        });
        Self {
            instruments: instruments.clone(),
            labels: [model].into(),
            by_result: Arc::new(by_result),
        }
    }

    /// Counts the rows of one call: `hits` were in the cache, `joined` waited for another call's
    /// answer, `misses` were sent.
    pub fn rows(&self, hits: usize, joined: usize, misses: usize) {
        for (rows, labels) in [hits, joined, misses].into_iter().zip(&*self.by_result) {
            if rows > 0 {
                self.instruments.rows.add(rows as u64, labels);
            }
        }
    }

    /// Records the size of the cache, in bytes, after `evicted` rows were removed from it.
    pub fn kept(&self, bytes: usize, evicted: usize) {
        self.instruments.bytes.record(bytes as u64, &self.labels);
        if evicted > 0 {
            self.instruments.evictions.add(evicted as u64, &self.labels);
        }
    }
}

fn label(key: &'static str, value: &str) -> KeyValue {
    KeyValue::new(key, Value::from(Arc::<str>::from(value)))
}
