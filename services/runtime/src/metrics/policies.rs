//! Handles that record the policies of a gateway's calls: one for each node that calls, one for
//! each model called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use opentelemetry::metrics::{Counter, Gauge};
use opentelemetry::{KeyValue, Value};

use super::live::{CounterSeries, LiveCounter};

/// Counts refusals of one pipeline for lack of time.
#[derive(Clone, Debug)]
pub struct RefusalMetrics(Arc<FirstUse>);

impl RefusalMetrics {
    pub(super) fn new(refused: &LiveCounter, pipeline: &str) -> Self {
        Self(Arc::new(FirstUse::new(refused, &[pipeline])))
    }

    /// Counts a request or node that was refused at once.
    pub fn refused(&self) {
        self.0.add();
    }
}

/// A series that is there from its first use on.
#[derive(Debug)]
struct FirstUse {
    counter: LiveCounter,
    labels: Vec<String>,
    series: OnceLock<CounterSeries>,
}

impl FirstUse {
    fn new(counter: &LiveCounter, labels: &[&str]) -> Self {
        Self {
            counter: counter.clone(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            series: OnceLock::new(),
        }
    }

    fn add(&self) {
        let series = self.series.get_or_init(|| {
            let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
            self.counter.series(&labels)
        });
        series.add(1);
    }
}

/// Instruments of retries and hedges.
#[derive(Clone, Debug)]
pub(super) struct RepeatInstruments {
    pub(super) retries: LiveCounter,
    pub(super) retries_refused: LiveCounter,
    pub(super) hedges: LiveCounter,
    pub(super) hedges_won: LiveCounter,
    pub(super) hedges_refused: LiveCounter,
}

/// Counts the retries and hedges of one node.
#[derive(Clone, Debug)]
pub struct RepeatMetrics(Arc<RepeatHandle>);

#[derive(Debug)]
struct RepeatHandle {
    retries: FirstUse,
    retries_refused: LiveCounter,
    refused_by_reason: Mutex<HashMap<&'static str, CounterSeries>>,
    hedges: FirstUse,
    hedges_won: FirstUse,
    hedges_refused: FirstUse,
}

impl RepeatMetrics {
    pub(super) fn new(instruments: &RepeatInstruments, pipeline: &str, node: &str) -> Self {
        let series = |counter| FirstUse::new(counter, &[pipeline, node]);
        Self(Arc::new(RepeatHandle {
            retries: series(&instruments.retries),
            retries_refused: instruments.retries_refused.clone(),
            refused_by_reason: Mutex::default(),
            hedges: series(&instruments.hedges),
            hedges_won: series(&instruments.hedges_won),
            hedges_refused: series(&instruments.hedges_refused),
        }))
    }

    /// Counts a retry.
    pub fn retried(&self) {
        self.0.retries.add();
    }

    /// Counts a retry that was not made; `reason` is a constant such as `budget`.
    pub fn retry_refused(&self, reason: &'static str) {
        let handle = &*self.0;
        let series = handle.refused_by_reason.lock();
        let mut series = series.unwrap_or_else(PoisonError::into_inner);
        let series = series.entry(reason).or_insert_with(|| {
            let labels = handle.retries.labels.iter().map(String::as_str);
            let labels: Vec<&str> = labels.chain([reason]).collect();
            handle.retries_refused.series(&labels)
        });
        series.add(1);
    }

    /// Counts a hedge.
    pub fn hedged(&self) {
        self.0.hedges.add();
    }

    /// Counts a hedge that answered before the first call.
    pub fn hedge_won(&self) {
        self.0.hedges_won.add();
    }

    /// Counts a hedge that was not made because the budget was spent.
    pub fn hedge_refused(&self) {
        self.0.hedges_refused.add();
    }
}

/// Instruments of circuit breakers.
#[derive(Clone, Debug)]
pub(super) struct CircuitInstruments {
    pub(super) open: Gauge<u64>,
    pub(super) openings: Counter<u64>,
    pub(super) refused: Counter<u64>,
    pub(super) resent: Counter<u64>,
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

    /// Records that the circuit opened.
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

    /// Counts a call that was lost with its connection and made again.
    pub fn resent(&self) {
        self.instruments.resent.add(1, &self.labels);
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
