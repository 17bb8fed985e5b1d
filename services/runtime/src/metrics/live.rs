//! Series that go with what they describe: a pipeline that is unloaded takes its own along.
//!
//! An OpenTelemetry instrument keeps every set of labels that it ever saw. What may go is counted
//! in series of the Prometheus registry itself, each of which exists as long as a handle of it.
//! Where OTLP is asked for, the same is recorded in an instrument of a provider of its own, which
//! no Prometheus text is made of.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use opentelemetry::{KeyValue, Value};
use prometheus::{
    CounterVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

use super::catalogue::Instrument;
use super::{bounds, counter, gauge, real_counter, real_histogram};

/// Handles of the series that exist, by their labels.
type Handles<F> = Arc<Mutex<HashMap<Vec<String>, Weak<Handle<F>>>>>;

/// A family of Prometheus metrics with labels.
trait Family: Clone {
    type Metric;

    fn metric(&self, labels: &[String]) -> Self::Metric;

    fn remove(&self, labels: &[String]);
}

macro_rules! families {
    ($($vec:ty => $metric:ty,)*) => {
        $(impl Family for $vec {
            type Metric = $metric;

            fn metric(&self, labels: &[String]) -> $metric {
                self.with_label_values(labels)
            }

            fn remove(&self, labels: &[String]) {
                // An error says only that it is not there.
                let _ = self.remove_label_values(labels);
            }
        })*
    };
}

families! {
    IntCounterVec => IntCounter,
    CounterVec => prometheus::Counter,
    IntGaugeVec => IntGauge,
    HistogramVec => prometheus::Histogram,
}

/// All series of one instrument.
#[derive(Clone)]
struct Series<F: Family> {
    all: F,
    handles: Handles<F>,
}

/// One series, which is removed with its last handle.
struct Handle<F: Family> {
    metric: F::Metric,
    labels: Vec<String>,
    series: Series<F>,
}

impl<F: Family> Series<F> {
    fn new(all: F) -> Self {
        Self {
            all,
            handles: Arc::default(),
        }
    }

    /// Returns the series of these labels, new or that of other handles.
    fn handle(&self, labels: Vec<String>) -> Arc<Handle<F>> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handles.get(&labels).and_then(Weak::upgrade) {
            return handle;
        }
        let handle = Arc::new(Handle {
            metric: self.all.metric(&labels),
            labels: labels.clone(),
            series: self.clone(),
        });
        handles.insert(labels, Arc::downgrade(&handle));
        handle
    }
}

impl<F: Family> Drop for Handle<F> {
    fn drop(&mut self) {
        let handles = self.series.handles.lock();
        let mut handles = handles.unwrap_or_else(PoisonError::into_inner);
        // Another may have come between the last handle and this lock: it has the series now.
        let is_gone = handles
            .get(&self.labels)
            .is_some_and(|handle| handle.strong_count() == 0);
        if is_gone {
            handles.remove(&self.labels);
            self.series.all.remove(&self.labels);
        }
    }
}

/// Where series that may go are made.
pub(super) struct LiveMeter<'a> {
    pub(super) registry: &'a Registry,
    /// The meter of a provider that sends by OTLP, where that is asked for.
    pub(super) sent: Option<&'a Meter>,
}

impl LiveMeter<'_> {
    /// Returns a counter.
    ///
    /// # Errors
    /// When the registry has one of its name.
    pub(super) fn counter(&self, instrument: Instrument) -> Result<LiveCounter, prometheus::Error> {
        let options = Opts::new(instrument.prometheus, instrument.description);
        let all = IntCounterVec::new(options, instrument.labels)?;
        self.registry.register(Box::new(all.clone()))?;
        Ok(LiveCounter {
            series: Series::new(all),
            sent: self.sent.map(|meter| counter(meter, instrument)),
            names: instrument.labels,
        })
    }

    /// Returns a counter of fractional amounts.
    ///
    /// # Errors
    /// When the registry has one of its name.
    pub(super) fn real_counter(
        &self,
        instrument: Instrument,
    ) -> Result<LiveRealCounter, prometheus::Error> {
        let options = Opts::new(instrument.prometheus, instrument.description);
        let all = CounterVec::new(options, instrument.labels)?;
        self.registry.register(Box::new(all.clone()))?;
        Ok(LiveRealCounter {
            series: Series::new(all),
            sent: self.sent.map(|meter| real_counter(meter, instrument)),
            names: instrument.labels,
        })
    }

    /// Returns a gauge.
    ///
    /// # Errors
    /// When the registry has one of its name.
    pub(super) fn gauge(&self, instrument: Instrument) -> Result<LiveGauge, prometheus::Error> {
        let options = Opts::new(instrument.prometheus, instrument.description);
        let all = IntGaugeVec::new(options, instrument.labels)?;
        self.registry.register(Box::new(all.clone()))?;
        Ok(LiveGauge {
            series: Series::new(all),
            sent: self.sent.map(|meter| gauge(meter, instrument)),
            names: instrument.labels,
        })
    }

    /// Returns a histogram.
    ///
    /// # Errors
    /// When the registry has one of its name.
    pub(super) fn histogram(
        &self,
        instrument: Instrument,
    ) -> Result<LiveHistogram, prometheus::Error> {
        let options = HistogramOpts::new(instrument.prometheus, instrument.description)
            .buckets(bounds(instrument));
        let all = HistogramVec::new(options, instrument.labels)?;
        self.registry.register(Box::new(all.clone()))?;
        Ok(LiveHistogram {
            series: Series::new(all),
            sent: self.sent.map(|meter| real_histogram(meter, instrument)),
            names: instrument.labels,
        })
    }
}

/// Returns labels as OpenTelemetry has them.
fn attributes(names: &[&'static str], values: &[&str]) -> Arc<[KeyValue]> {
    let values = values.iter().map(|value| Arc::<str>::from(*value));
    let labels = names.iter().zip(values);
    labels
        .map(|(name, value)| KeyValue::new(*name, Value::from(value)))
        .collect()
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// A counter whose series go with their handles.
#[derive(Clone)]
pub(super) struct LiveCounter {
    series: Series<IntCounterVec>,
    sent: Option<Counter<u64>>,
    names: &'static [&'static str],
}

/// A series of a [`LiveCounter`].
#[derive(Clone)]
pub(super) struct CounterSeries {
    handle: Arc<Handle<IntCounterVec>>,
    sent: Option<(Counter<u64>, Arc<[KeyValue]>)>,
}

impl LiveCounter {
    /// Returns the series of these labels, in the order in which the catalogue has their names.
    pub(super) fn series(&self, values: &[&str]) -> CounterSeries {
        let sent = self.sent.as_ref();
        CounterSeries {
            handle: self.series.handle(owned(values)),
            sent: sent.map(|counter| (counter.clone(), attributes(self.names, values))),
        }
    }
}

impl CounterSeries {
    pub(super) fn add(&self, count: u64) {
        self.handle.metric.inc_by(count);
        if let Some((counter, labels)) = &self.sent {
            counter.add(count, labels);
        }
    }
}

/// A counter of fractional amounts whose series go with their handles.
#[derive(Clone)]
pub(super) struct LiveRealCounter {
    series: Series<CounterVec>,
    sent: Option<Counter<f64>>,
    names: &'static [&'static str],
}

/// A series of a [`LiveRealCounter`].
#[derive(Clone)]
pub(super) struct RealCounterSeries {
    handle: Arc<Handle<CounterVec>>,
    sent: Option<(Counter<f64>, Arc<[KeyValue]>)>,
}

impl LiveRealCounter {
    /// Returns the series of these labels, in the order in which the catalogue has their names.
    pub(super) fn series(&self, values: &[&str]) -> RealCounterSeries {
        let sent = self.sent.as_ref();
        RealCounterSeries {
            handle: self.series.handle(owned(values)),
            sent: sent.map(|counter| (counter.clone(), attributes(self.names, values))),
        }
    }
}

impl RealCounterSeries {
    pub(super) fn add(&self, amount: f64) {
        self.handle.metric.inc_by(amount);
        if let Some((counter, labels)) = &self.sent {
            counter.add(amount, labels);
        }
    }
}

/// A gauge whose series go with their handles.
#[derive(Clone)]
pub(super) struct LiveGauge {
    series: Series<IntGaugeVec>,
    sent: Option<Gauge<u64>>,
    names: &'static [&'static str],
}

/// A series of a [`LiveGauge`].
#[derive(Clone)]
pub(super) struct GaugeSeries {
    handle: Arc<Handle<IntGaugeVec>>,
    sent: Option<(Gauge<u64>, Arc<[KeyValue]>)>,
}

impl LiveGauge {
    /// Returns the series of these labels, in the order in which the catalogue has their names.
    pub(super) fn series(&self, values: &[&str]) -> GaugeSeries {
        let sent = self.sent.as_ref();
        GaugeSeries {
            handle: self.series.handle(owned(values)),
            sent: sent.map(|gauge| (gauge.clone(), attributes(self.names, values))),
        }
    }
}

impl GaugeSeries {
    pub(super) fn set(&self, value: u64) {
        self.handle
            .metric
            .set(i64::try_from(value).unwrap_or(i64::MAX));
        if let Some((gauge, labels)) = &self.sent {
            gauge.record(value, labels);
        }
    }
}

/// A histogram whose series go with their handles.
#[derive(Clone)]
pub(super) struct LiveHistogram {
    series: Series<HistogramVec>,
    sent: Option<Histogram<f64>>,
    names: &'static [&'static str],
}

/// A series of a [`LiveHistogram`].
#[derive(Clone)]
pub(super) struct HistogramSeries {
    handle: Arc<Handle<HistogramVec>>,
    sent: Option<(Histogram<f64>, Arc<[KeyValue]>)>,
}

impl LiveHistogram {
    /// Returns the series of these labels, in the order in which the catalogue has their names.
    pub(super) fn series(&self, values: &[&str]) -> HistogramSeries {
        let sent = self.sent.as_ref();
        HistogramSeries {
            handle: self.series.handle(owned(values)),
            sent: sent.map(|histogram| (histogram.clone(), attributes(self.names, values))),
        }
    }
}

impl HistogramSeries {
    pub(super) fn record(&self, value: f64) {
        self.handle.metric.observe(value);
        if let Some((histogram, labels)) = &self.sent {
            histogram.record(value, labels);
        }
    }
}

macro_rules! opaque {
    ($($name:ident)*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })*
    };
}

opaque!(LiveCounter CounterSeries LiveRealCounter RealCounterSeries LiveGauge GaugeSeries);
opaque!(LiveHistogram HistogramSeries);
