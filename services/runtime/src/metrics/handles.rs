//! Handles that record: one for each pipeline, node, model and server, made once and kept.
//!
//! A handle holds its label sets or its series ready, so recording allocates nothing: per
//! instrument it does one atomic addition, at most after a look-up of the labels.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, UpDownCounter};
use tonic::Code;

use super::batcher_gauges::{BatcherState, Watch, Watched};
use super::live::{CounterSeries, HistogramSeries, LiveCounter, LiveHistogram};
use crate::status::code_name;

/// Number of gRPC codes; they are 0 to 16.
const CODES: usize = 17;

/// The three instruments that every kind of call has. Their last label is the code.
#[derive(Clone, Debug)]
pub(super) struct CallInstruments {
    pub(super) requests: LiveCounter,
    pub(super) errors: LiveCounter,
    pub(super) duration: LiveHistogram,
}

/// Counts and times calls under fixed labels. The series are there from the first call of each code
/// on, and go with the last clone.
#[derive(Clone, Debug)]
pub struct CallMetrics(Arc<CallHandle>);

#[derive(Debug)]
struct CallHandle {
    instruments: CallInstruments,
    labels: Vec<String>,
    by_code: [OnceLock<Box<CodeSeries>>; CODES],
}

/// Series of the calls that ended with one code.
#[derive(Debug)]
struct CodeSeries {
    requests: CounterSeries,
    /// `None` for those that succeeded.
    errors: Option<CounterSeries>,
    duration: HistogramSeries,
}

impl CallMetrics {
    pub(super) fn new(instruments: &CallInstruments, labels: &[&str]) -> Self {
        Self(Arc::new(CallHandle {
            instruments: instruments.clone(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            by_code: Default::default(),
        }))
    }

    /// Records a call that ended with `code` after `elapsed`.
    pub fn record(&self, code: Code, elapsed: Duration) {
        let handle = &*self.0;
        let series = handle.by_code[code as usize].get_or_init(|| handle.series(code).into());
        series.requests.add(1);
        if let Some(errors) = &series.errors {
            errors.add(1);
        }
        series.duration.record(elapsed.as_secs_f64());
    }
}

impl CallHandle {
    fn series(&self, code: Code) -> CodeSeries {
        let fixed = self.labels.iter().map(String::as_str);
        let labels: Vec<&str> = fixed.chain([code_name(code)]).collect();
        let errors = (code != Code::Ok).then(|| self.instruments.errors.series(&labels));
        CodeSeries {
            requests: self.instruments.requests.series(&labels),
            errors,
            duration: self.instruments.duration.series(&labels),
        }
    }
}

/// Counts the runs of one shadow arm.
#[derive(Clone, Debug)]
pub struct ShadowMetrics(Arc<ShadowHandle>);

#[derive(Debug)]
struct ShadowHandle {
    runs: LiveCounter,
    labels: [String; 3],
    by_outcome: Mutex<HashMap<&'static str, CounterSeries>>,
}

impl ShadowMetrics {
    pub(super) fn new(runs: &LiveCounter, labels: [&str; 3]) -> Self {
        Self(Arc::new(ShadowHandle {
            runs: runs.clone(),
            labels: labels.map(str::to_owned),
            by_outcome: Mutex::default(),
        }))
    }

    /// Counts a run; `outcome` is a constant such as `same`.
    pub fn record(&self, outcome: &'static str) {
        let handle = &*self.0;
        let series = handle.by_outcome.lock();
        let mut series = series.unwrap_or_else(PoisonError::into_inner);
        let series = series.entry(outcome).or_insert_with(|| {
            let [pipeline, node, arm] = &handle.labels;
            handle.runs.series(&[pipeline, node, arm, outcome])
        });
        series.add(1);
    }
}

/// Instruments of a model's batches and queue.
#[derive(Clone, Debug)]
pub(super) struct BatchInstruments {
    pub(super) info: Gauge<u64>,
    pub(super) rows: Histogram<u64>,
    pub(super) tokens: Histogram<u64>,
    pub(super) duration: Histogram<f64>,
    pub(super) starts: Counter<u64>,
    pub(super) deliberate_wait: Histogram<f64>,
    pub(super) bisections: Counter<u64>,
    pub(super) memory_splits: Counter<u64>,
    pub(super) rows_failed: Counter<u64>,
    pub(super) rows_reused: Counter<u64>,
    pub(super) window: Histogram<f64>,
    pub(super) rows_expected: Counter<f64>,
    pub(super) rows_arrived: Counter<u64>,
    pub(super) crashes: Counter<u64>,
    pub(super) wait: Histogram<f64>,
    pub(super) refused: Counter<u64>,
    pub(super) expired: Counter<u64>,
    pub(super) cancelled: Counter<u64>,
}

/// Records the requests, batches and queue of one model.
#[derive(Clone, Debug)]
pub struct ModelMetrics {
    pub(super) calls: CallMetrics,
    pub(super) batches: BatchInstruments,
    pub(super) watched: Watched,
    pub(super) labels: Arc<[KeyValue]>,
}

impl ModelMetrics {
    /// Records a request that ended with `code` after `elapsed`.
    pub fn request(&self, code: Code, elapsed: Duration) {
        self.calls.record(code, elapsed);
    }

    /// Records the model's task and the unit of its rows' costs.
    pub fn task(&self, task: &'static str, unit: &'static str) {
        let task = KeyValue::new("task", task);
        let labels = [self.labels[0].clone(), task, KeyValue::new("unit", unit)];
        self.batches.info.record(1, &labels);
    }

    /// Records a batch, with the sum of its rows' costs, and the time it took to compute.
    pub fn batch(&self, rows: usize, tokens: usize, compute: Duration) {
        self.batches.rows.record(rows as u64, &self.labels);
        self.batches.tokens.record(tokens as u64, &self.labels);
        self.batches
            .duration
            .record(compute.as_secs_f64(), &self.labels);
    }

    /// Records how long a row waited for its batch.
    pub fn queue_wait(&self, wait: Duration) {
        self.batches.wait.record(wait.as_secs_f64(), &self.labels);
    }

    /// Records why a batch started (`cause` is a constant such as `window`), and how long its
    /// executor had waited for more rows.
    pub fn batch_started(&self, cause: &'static str, deliberate_wait: Duration) {
        let labels = [self.labels[0].clone(), KeyValue::new("cause", cause)];
        self.batches.starts.add(1, &labels);
        let wait = deliberate_wait.as_secs_f64();
        self.batches.deliberate_wait.record(wait, &self.labels);
    }

    /// Records a wait for more rows: its planned length, and the rows expected and arrived.
    pub fn window(&self, chosen: Duration, rows_expected: f64, rows_arrived: usize) {
        let batches = &self.batches;
        batches.window.record(chosen.as_secs_f64(), &self.labels);
        batches.rows_expected.add(rows_expected, &self.labels);
        batches.rows_arrived.add(rows_arrived as u64, &self.labels);
    }

    /// Counts a batch that failed and was halved to find the row at fault.
    pub fn bisected(&self) {
        self.batches.bisections.add(1, &self.labels);
    }

    /// Counts a batch that ran out of memory and was halved.
    pub fn memory_split(&self) {
        self.batches.memory_splits.add(1, &self.labels);
    }

    /// Counts rows that failed because their batch did.
    pub fn rows_failed(&self, rows: usize) {
        self.batches.rows_failed.add(rows as u64, &self.labels);
    }

    /// Counts a crash of an executor.
    pub fn executor_crashed(&self) {
        self.batches.crashes.add(1, &self.labels);
    }

    /// Registers the model's gauges, which call `read` whenever metrics are read. `read` must
    /// neither block nor read metrics.
    #[must_use = "the gauges are removed when this is dropped"]
    pub fn watch(&self, read: impl Fn() -> BatcherState + Send + Sync + 'static) -> Watch {
        self.watched.add(self.labels.clone(), read)
    }

    /// Counts rows that the queue refused; `reason` is a constant such as `queue_full`.
    pub fn refused(&self, reason: &'static str, rows: usize) {
        let labels = [self.labels[0].clone(), KeyValue::new("reason", reason)];
        self.batches.refused.add(rows as u64, &labels);
    }

    /// Counts rows that were not encoded again, since a model with the same weights had.
    pub fn rows_reused(&self, rows: usize) {
        if rows > 0 {
            self.batches.rows_reused.add(rows as u64, &self.labels);
        }
    }

    /// Counts rows whose deadline passed while they waited.
    pub fn expired(&self, rows: usize) {
        self.batches.expired.add(rows as u64, &self.labels);
    }

    /// Counts rows whose caller went away while they waited.
    pub fn cancelled(&self, rows: usize) {
        self.batches.cancelled.add(rows as u64, &self.labels);
    }
}

/// Instruments of a gRPC port.
#[derive(Debug)]
pub(super) struct ServerInstruments {
    pub(super) in_flight: UpDownCounter<i64>,
    pub(super) streams: UpDownCounter<i64>,
    pub(super) auth_refused: Counter<u64>,
    pub(super) auth_reload_errors: Counter<u64>,
    pub(super) audit_lost: Counter<u64>,
    pub(super) refused: Counter<u64>,
    pub(super) cut: Counter<u64>,
    pub(super) slowed: Counter<u64>,
    pub(super) connections: UpDownCounter<i64>,
    pub(super) panics: Counter<u64>,
    pub(super) bytes_in_flight: Arc<AtomicUsize>,
    pub(super) handshakes: Counter<u64>,
    pub(super) insecure: Gauge<u64>,
}

/// Records events of a gRPC port outside of its handlers. Clones share the instruments.
#[derive(Clone, Debug)]
pub struct ServerMetrics(pub(super) Arc<ServerInstruments>);

impl ServerMetrics {
    /// Changes the number of requests in flight.
    pub fn in_flight(&self, change: i64) {
        self.0.in_flight.add(change, &[]);
    }

    /// Changes the number of open streams of a kind, a constant such as `watches`.
    pub fn streams(&self, kind: &'static str, change: i64) {
        self.0.streams.add(change, &[KeyValue::new("kind", kind)]);
    }

    /// Counts a call whose credentials were not accepted; `reason` is a constant.
    pub fn refused_credentials(&self, reason: &'static str) {
        self.0
            .auth_refused
            .add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Counts a version of a file of credentials that could not be used.
    pub fn auth_reload_failed(&self, file: &'static str) {
        self.0
            .auth_reload_errors
            .add(1, &[KeyValue::new("file", file)]);
    }

    /// Counts lines of the audit that could not be written.
    pub fn audit_lost(&self, lines: u64) {
        self.0.audit_lost.add(lines, &[]);
    }

    /// Counts a call that was refused; `reason` is a constant such as `concurrency`.
    pub fn refused(&self, reason: &'static str) {
        self.0.refused.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Changes the number of open connections.
    pub(crate) fn connections(&self, change: i64) {
        self.0.connections.add(change, &[]);
    }

    /// Counts a pause in reading a connection.
    pub(crate) fn slowed(&self) {
        self.0.slowed.add(1, &[]);
    }

    /// Counts a call or connection that the server ended; `reason` is a constant.
    pub(crate) fn cut(&self, reason: &'static str) {
        self.0.cut.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Counts a TLS handshake; `result` is a constant such as `ok`.
    pub(crate) fn handshake(&self, result: &'static str) {
        self.0.handshakes.add(1, &[KeyValue::new("result", result)]);
    }

    /// Records whether a port is open to strangers; `port` is a constant such as `grpc`.
    pub fn insecure(&self, port: &'static str, is_insecure: bool) {
        let port = [KeyValue::new("port", port)];
        self.0.insecure.record(u64::from(is_insecure), &port);
    }

    /// Sets the bytes in flight.
    pub(crate) fn set_bytes_in_flight(&self, bytes: usize) {
        self.0.bytes_in_flight.store(bytes, Ordering::Relaxed);
    }

    /// Counts a panic of `task`, a constant such as `handler`.
    pub fn panicked(&self, task: &'static str) {
        self.0.panics.add(1, &[KeyValue::new("task", task)]);
    }
}
