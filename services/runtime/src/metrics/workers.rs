//! Metrics of a worker of a batch, read when metrics are.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::catalogue::{self, Instrument};

/// The state of a worker of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkerState {
    /// Rows with an answer, without those of which a part is a substitute.
    pub rows_answered: u64,
    /// Rows with an answer of which a part is a substitute.
    pub rows_degraded: u64,
    /// Rows with an error.
    pub rows_failed: u64,
    /// Rows that the worker has to do, done ones included.
    pub rows_planned: u64,
    /// Tokens that were computed.
    pub tokens: u64,
    /// Calls that failed, those included that were tried again.
    pub calls_failed: u64,
    /// Calls in flight.
    pub in_flight: usize,
    /// Limit of the calls in flight.
    pub in_flight_max: usize,
    /// Units that the worker wrote.
    pub units_written: usize,
    /// Units that another worker wrote first.
    pub units_lost: usize,
    /// Units that the worker has to do, done ones included.
    pub units_planned: usize,
    /// Rows a second since the worker began.
    pub rows_per_second: f64,
    /// Seconds that the rest takes at this rate; `None` before the first row.
    pub seconds_left: Option<f64>,
}

/// A worker that is watched; dropping it removes it from the metrics.
pub struct WorkerWatch(#[expect(dead_code, reason = "keeps the source alive")] Arc<Source>);

impl fmt::Debug for WorkerWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerWatch").finish_non_exhaustive()
    }
}

struct Source {
    pipeline: KeyValue,
    read: Box<dyn Fn() -> WorkerState + Send + Sync>,
}

impl Source {
    /// Returns the labels of a series; `outcome` is none where it is empty.
    fn labels(&self, outcome: &'static str) -> Vec<KeyValue> {
        let mut labels = vec![self.pipeline.clone()];
        if !outcome.is_empty() {
            labels.push(KeyValue::new("outcome", outcome));
        }
        labels
    }
}

/// A number of a worker, where it is known.
type Reading = fn(&WorkerState) -> Option<f64>;

/// The workers that are watched.
#[derive(Clone, Default)]
pub(super) struct Workers(Arc<Mutex<Vec<Weak<Source>>>>);

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}

impl Workers {
    /// Returns none yet; their numbers are instruments of `meter`.
    pub(super) fn new(meter: &Meter) -> Self {
        use catalogue as c;
        let workers = Self::default();
        workers.counts(meter, c::WORKER_ROWS, |state| {
            vec![
                ("answered", state.rows_answered),
                ("degraded", state.rows_degraded),
                ("failed", state.rows_failed),
            ]
        });
        workers.counts(meter, c::WORKER_UNITS, |state| {
            vec![
                ("written", state.units_written as u64),
                ("lost", state.units_lost as u64),
            ]
        });
        workers.counts(meter, c::WORKER_TOKENS, |state| vec![("", state.tokens)]);
        workers.counts(meter, c::WORKER_CALLS_FAILED, |state| {
            vec![("", state.calls_failed)]
        });
        let gauges: [(Instrument, Reading); 6] = [
            (c::WORKER_ROWS_PLANNED, |s| Some(s.rows_planned as f64)),
            (c::WORKER_UNITS_PLANNED, |s| Some(s.units_planned as f64)),
            (c::WORKER_IN_FLIGHT, |s| Some(s.in_flight as f64)),
            (c::WORKER_IN_FLIGHT_MAX, |s| Some(s.in_flight_max as f64)),
            (c::WORKER_RATE, |s| Some(s.rows_per_second)),
            (c::WORKER_LEFT, |s| s.seconds_left),
        ];
        for (instrument, of) in gauges {
            workers.gauge(meter, instrument, of);
        }
        workers
    }

    pub(super) fn add(
        &self,
        pipeline: &str,
        read: impl Fn() -> WorkerState + Send + Sync + 'static,
    ) -> WorkerWatch {
        let source = Arc::new(Source {
            pipeline: KeyValue::new("pipeline", pipeline.to_owned()),
            read: Box::new(read),
        });
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|source| source.strong_count() > 0);
        sources.push(Arc::downgrade(&source));
        WorkerWatch(source)
    }

    fn sources(&self) -> Vec<Arc<Source>> {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.iter().filter_map(Weak::upgrade).collect()
    }

    fn counts(
        &self,
        meter: &Meter,
        instrument: Instrument,
        of: fn(&WorkerState) -> Vec<(&'static str, u64)>,
    ) {
        let workers = self.clone();
        // The provider keeps the callback; the handle itself is not needed.
        let _ = meter
            .u64_observable_counter(instrument.name)
            .with_unit(instrument.unit)
            .with_description(instrument.description)
            .with_callback(move |observer| {
                for source in workers.sources() {
                    for (outcome, count) in of(&(source.read)()) {
                        observer.observe(count, &source.labels(outcome));
                    }
                }
            })
            .build();
    }

    fn gauge(&self, meter: &Meter, instrument: Instrument, of: Reading) {
        let workers = self.clone();
        let _ = meter
            .f64_observable_gauge(instrument.name)
            .with_unit(instrument.unit)
            .with_description(instrument.description)
            .with_callback(move |observer| {
                for source in workers.sources() {
                    if let Some(value) = of(&(source.read)()) {
                        observer.observe(value, &source.labels(""));
                    }
                }
            })
            .build();
    }
}
