//! [`ModelMetrics`]: the requests, batches and queue of one model.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use tonic::Code;

use super::batcher_gauges::{BatcherState, Watch, Watched};
use super::handles::{CallMetrics, CounterByWord};
use super::live::{
    CounterSeries, GaugeSeries, HistogramSeries, LiveCounter, LiveGauge, LiveHistogram,
    LiveRealCounter, RealCounterSeries,
};

/// Instruments of a model's batches and queue.
#[derive(Clone, Debug)]
pub(super) struct BatchInstruments {
    pub(super) info: LiveGauge,
    pub(super) rows: LiveHistogram,
    pub(super) tokens: LiveHistogram,
    pub(super) duration: LiveHistogram,
    pub(super) starts: LiveCounter,
    pub(super) deliberate_wait: LiveHistogram,
    pub(super) bisections: LiveCounter,
    pub(super) memory_splits: LiveCounter,
    pub(super) rows_failed: LiveCounter,
    pub(super) rows_reused: LiveCounter,
    pub(super) window: LiveHistogram,
    pub(super) rows_expected: LiveRealCounter,
    pub(super) rows_arrived: LiveCounter,
    pub(super) crashes: LiveCounter,
    pub(super) wait: LiveHistogram,
    pub(super) refused: LiveCounter,
    pub(super) expired: LiveCounter,
    pub(super) cancelled: LiveCounter,
}

/// The series of one model's batches and queue.
#[derive(Debug)]
pub(super) struct BatchSeries {
    model: String,
    info: LiveGauge,
    /// Task and unit, once they are known.
    task: Mutex<Option<GaugeSeries>>,
    rows: HistogramSeries,
    tokens: HistogramSeries,
    duration: HistogramSeries,
    starts: CounterByWord,
    deliberate_wait: HistogramSeries,
    bisections: CounterSeries,
    memory_splits: CounterSeries,
    rows_failed: CounterSeries,
    rows_reused: CounterSeries,
    window: HistogramSeries,
    rows_expected: RealCounterSeries,
    rows_arrived: CounterSeries,
    crashes: CounterSeries,
    wait: HistogramSeries,
    refused: CounterByWord,
    expired: CounterSeries,
    cancelled: CounterSeries,
}

impl BatchSeries {
    pub(super) fn new(all: &BatchInstruments, model: &str) -> Self {
        let labels = [model];
        Self {
            model: model.to_owned(),
            info: all.info.clone(),
            task: Mutex::default(),
            rows: all.rows.series(&labels),
            tokens: all.tokens.series(&labels),
            duration: all.duration.series(&labels),
            starts: CounterByWord::new(&all.starts, &labels),
            deliberate_wait: all.deliberate_wait.series(&labels),
            bisections: all.bisections.series(&labels),
            memory_splits: all.memory_splits.series(&labels),
            rows_failed: all.rows_failed.series(&labels),
            rows_reused: all.rows_reused.series(&labels),
            window: all.window.series(&labels),
            rows_expected: all.rows_expected.series(&labels),
            rows_arrived: all.rows_arrived.series(&labels),
            crashes: all.crashes.series(&labels),
            wait: all.wait.series(&labels),
            refused: CounterByWord::new(&all.refused, &labels),
            expired: all.expired.series(&labels),
            cancelled: all.cancelled.series(&labels),
        }
    }
}

/// Records the requests, batches and queue of one model. The series go with the last clone.
#[derive(Clone, Debug)]
pub struct ModelMetrics {
    pub(super) calls: CallMetrics,
    pub(super) batches: Arc<BatchSeries>,
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
        let batches = &self.batches;
        let series = batches.info.series(&[&batches.model, task, unit]);
        series.set(1);
        *batches.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(series);
    }

    /// Records a batch, with the sum of its rows' costs, and the time it took to compute.
    pub fn batch(&self, rows: usize, tokens: usize, compute: Duration) {
        self.batches.rows.record(rows as f64);
        self.batches.tokens.record(tokens as f64);
        self.batches.duration.record(compute.as_secs_f64());
    }

    /// Records how long a row waited for its batch.
    pub fn queue_wait(&self, wait: Duration) {
        self.batches.wait.record(wait.as_secs_f64());
    }

    /// Records why a batch started (`cause` is a constant such as `window`), and how long its
    /// executor had waited for more rows.
    pub fn batch_started(&self, cause: &'static str, deliberate_wait: Duration) {
        self.batches.starts.add(cause, 1);
        let wait = deliberate_wait.as_secs_f64();
        self.batches.deliberate_wait.record(wait);
    }

    /// Records a wait for more rows: its planned length, and the rows expected and arrived.
    pub fn window(&self, chosen: Duration, rows_expected: f64, rows_arrived: usize) {
        let batches = &self.batches;
        batches.window.record(chosen.as_secs_f64());
        batches.rows_expected.add(rows_expected);
        batches.rows_arrived.add(rows_arrived as u64);
    }

    /// Counts a batch that failed and was halved to find the row at fault.
    pub fn bisected(&self) {
        self.batches.bisections.add(1);
    }

    /// Counts a batch that ran out of memory and was halved.
    pub fn memory_split(&self) {
        self.batches.memory_splits.add(1);
    }

    /// Counts rows that failed because their batch did.
    pub fn rows_failed(&self, rows: usize) {
        self.batches.rows_failed.add(rows as u64);
    }

    /// Counts a crash of an executor.
    pub fn executor_crashed(&self) {
        self.batches.crashes.add(1);
    }

    /// Registers the model's gauges, which call `read` whenever metrics are read. `read` must
    /// neither block nor read metrics.
    #[must_use = "the gauges are removed when this is dropped"]
    pub fn watch(&self, read: impl Fn() -> BatcherState + Send + Sync + 'static) -> Watch {
        self.watched.add(self.labels.clone(), read)
    }

    /// Counts rows that the queue refused; `reason` is a constant such as `queue_full`.
    pub fn refused(&self, reason: &'static str, rows: usize) {
        self.batches.refused.add(reason, rows as u64);
    }

    /// Counts rows that were not encoded again, since a model with the same weights had.
    pub fn rows_reused(&self, rows: usize) {
        if rows > 0 {
            self.batches.rows_reused.add(rows as u64);
        }
    }

    /// Counts rows whose deadline passed while they waited.
    pub fn expired(&self, rows: usize) {
        self.batches.expired.add(rows as u64);
    }

    /// Counts rows whose caller went away while they waited.
    pub fn cancelled(&self, rows: usize) {
        self.batches.cancelled.add(rows as u64);
    }
}
