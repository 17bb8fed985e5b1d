//! Gauges of batchers, read when metrics are: always current, at no cost in between.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::catalogue::{self, Instrument};

/// The state of one model's batcher.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatcherState {
    /// Rows in the queue.
    pub rows_queued: usize,
    /// Executors that are alive.
    pub executors: usize,
    /// Recent arrival rate of interactive rows, per second.
    pub rows_per_second: f64,
    /// Fixed cost of a batch, in seconds, as estimated.
    pub cost_batch_seconds: f64,
    /// Cost of a token, in seconds, as estimated.
    pub cost_token_seconds: f64,
    /// Mean relative error of predicted batch times.
    pub cost_error: f64,
}

/// A registration of a model's gauges; dropping it removes them from the metrics.
pub struct Watch(#[expect(dead_code, reason = "keeps the source alive")] Arc<Source>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

struct Source {
    labels: Arc<[KeyValue]>,
    read: Box<dyn Fn() -> BatcherState + Send + Sync>,
}

/// The registered batchers.
#[derive(Clone, Default)]
pub(super) struct Watched(Arc<Mutex<Vec<Weak<Source>>>>);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Watched {
    /// An empty registry whose gauges are instruments of `meter`.
    pub(super) fn new(meter: &Meter) -> Self {
        let watched = Self::default();
        watched.count(meter, catalogue::QUEUE_DEPTH, |state| state.rows_queued);
        watched.count(meter, catalogue::EXECUTORS, |state| state.executors);
        watched.number(meter, catalogue::ARRIVAL_RATE, |s| s.rows_per_second);
        watched.number(meter, catalogue::COST_BATCH, |s| s.cost_batch_seconds);
        watched.number(meter, catalogue::COST_TOKEN, |s| s.cost_token_seconds);
        watched.number(meter, catalogue::COST_ERROR, |state| state.cost_error);
        watched
    }

    pub(super) fn add(
        &self,
        labels: Arc<[KeyValue]>,
        read: impl Fn() -> BatcherState + Send + Sync + 'static,
    ) -> Watch {
        let read = Box::new(read);
        let source = Arc::new(Source { labels, read });
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|source| source.strong_count() > 0);
        sources.push(Arc::downgrade(&source));
        Watch(source)
    }

    /// The sources that are still alive. The lock is released first: reading one may take another.
    fn sources(&self) -> Vec<Arc<Source>> {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.iter().filter_map(Weak::upgrade).collect()
    }

    fn count(&self, meter: &Meter, instrument: Instrument, of: fn(&BatcherState) -> usize) {
        let watched = self.clone();
        // The provider keeps the callback; the handle itself is not needed.
        let _ = meter
            .u64_observable_gauge(instrument.name)
            .with_unit(instrument.unit)
            .with_description(instrument.description)
            .with_callback(move |observer| {
                for source in watched.sources() {
                    observer.observe(of(&(source.read)()) as u64, &source.labels);
                }
            })
            .build();
    }

    fn number(&self, meter: &Meter, instrument: Instrument, of: fn(&BatcherState) -> f64) {
        let watched = self.clone();
        let _ = meter
            .f64_observable_gauge(instrument.name)
            .with_unit(instrument.unit)
            .with_description(instrument.description)
            .with_callback(move |observer| {
                for source in watched.sources() {
                    observer.observe(of(&(source.read)()), &source.labels);
                }
            })
            .build();
    }
}
