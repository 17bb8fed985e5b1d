//! Metrics: OpenTelemetry instruments, read as Prometheus text and, when asked for, sent by OTLP.
//!
//! Nothing is global: a process makes one [`Metrics`] and passes it on; tests make several.
//!
//! * [`catalogue`]: the declaration of every instrument.
//! * `handles`, `models`, `policies`, `streams`, `tls`: handles that record.
//! * `live`: series that go with what they describe.
//! * `batcher_gauges`, `workers`: numbers that are read on demand.
//! * `page`: the documentation page.

mod batcher_gauges;
pub mod catalogue;
mod handles;
mod live;
mod models;
mod page;
mod policies;
mod streams;
mod tls;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider, UpDownCounter};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};

use batcher_gauges::Watched;
pub use batcher_gauges::{BatcherState, Watch};
use catalogue::{Instrument, Kind};
use handles::{CallInstruments, ServerInstruments};
pub use handles::{CallMetrics, ServerMetrics, ShadowMetrics};
use live::{LiveCounter, LiveMeter};
pub use models::ModelMetrics;
use models::{BatchInstruments, BatchSeries};
pub use page::page;
use policies::{CacheInstruments, CircuitInstruments, RepeatInstruments};
pub use policies::{CacheMetrics, CircuitMetrics, RefusalMetrics, RepeatMetrics};
use streams::StreamInstruments;
pub use streams::{StreamErrorKind, StreamMetrics};
use tls::TlsInstruments;
pub use tls::TlsMetrics;
use workers::Workers;
pub use workers::{WorkerState, WorkerWatch};

use crate::telemetry::{self, TelemetryError};

/// Why the metrics of a process cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The Prometheus exporter could not be set up.
    #[error("cannot set up metrics: {0}")]
    Setup(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// The Prometheus text could not be written.
    #[error("cannot write metrics: {0}")]
    Render(#[from] prometheus::Error),
    /// The OTLP exporter that the environment asks for cannot be made.
    #[error(transparent)]
    Export(#[from] TelemetryError),
}

/// The instruments of one process. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    provider: SdkMeterProvider,
    /// Sends what goes with its pipelines and models by OTLP, where that is asked for.
    live_provider: Option<SdkMeterProvider>,
    registry: Registry,
    pipelines: CallInstruments,
    nodes: CallInstruments,
    shadows: LiveCounter,
    refusals: LiveCounter,
    repeats: RepeatInstruments,
    model_ready: Gauge<u64>,
    circuits: CircuitInstruments,
    caches: CacheInstruments,
    models: CallInstruments,
    batches: BatchInstruments,
    watched: Watched,
    workers: Workers,
    streams: StreamInstruments,
    server: ServerMetrics,
    tls: TlsInstruments,
    reloads: Counter<u64>,
    reload_errors: Counter<u64>,
}

impl Metrics {
    /// Metrics for Prometheus only; `service` is the name of the process in `motet_build_info`.
    ///
    /// # Errors
    /// If the exporter cannot be set up.
    pub fn new(service: &str) -> Result<Self, MetricsError> {
        Self::build(service, SdkMeterProvider::builder(), None)
    }

    /// As [`Metrics::new`], and sent by OTLP if the standard `OTEL_*` variables ask for it. That
    /// needs a tokio runtime.
    ///
    /// # Errors
    /// If an exporter cannot be set up.
    pub fn from_env(service: &str) -> Result<Self, MetricsError> {
        let builder = || SdkMeterProvider::builder().with_resource(telemetry::resource(service));
        match (
            telemetry::otlp_metrics(builder())?,
            telemetry::otlp_metrics(builder())?,
        ) {
            (Some(sent), Some(live)) => Self::build(service, sent, Some(live.build())),
            _ => Self::build(service, builder(), None),
        }
    }

    fn build(
        service: &str,
        builder: MeterProviderBuilder,
        live_provider: Option<SdkMeterProvider>,
    ) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()?;
        let provider = builder.with_reader(exporter).build();
        let meter = provider.meter("motet");
        let live_meter = live_provider
            .as_ref()
            .map(|provider| provider.meter("motet"));
        let live = LiveMeter {
            registry: &registry,
            sent: live_meter.as_ref(),
        };
        let calls = |requests, errors, duration| -> Result<_, prometheus::Error> {
            Ok(CallInstruments {
                requests: live.counter(requests)?,
                errors: live.counter(errors)?,
                duration: live.histogram(duration)?,
            })
        };
        use catalogue as c;
        let inner = Inner {
            pipelines: calls(
                c::PIPELINE_REQUESTS,
                c::PIPELINE_ERRORS,
                c::PIPELINE_DURATION,
            )?,
            nodes: calls(c::NODE_REQUESTS, c::NODE_ERRORS, c::NODE_DURATION)?,
            shadows: live.counter(c::NODE_SHADOWS)?,
            refusals: live.counter(c::BUDGET_REFUSED)?,
            repeats: RepeatInstruments {
                retries: live.counter(c::NODE_RETRIES)?,
                retries_refused: live.counter(c::NODE_RETRIES_REFUSED)?,
                hedges: live.counter(c::NODE_HEDGES)?,
                hedges_won: live.counter(c::NODE_HEDGES_WON)?,
                hedges_refused: live.counter(c::NODE_HEDGES_REFUSED)?,
            },
            model_ready: gauge(&meter, c::MODEL_READY),
            circuits: CircuitInstruments {
                open: gauge(&meter, c::CIRCUIT_OPEN),
                openings: counter(&meter, c::CIRCUIT_OPENINGS),
                refused: counter(&meter, c::CIRCUIT_REFUSED),
                resent: counter(&meter, c::CALLS_RESENT),
            },
            caches: CacheInstruments {
                rows: counter(&meter, c::CACHE_ROWS),
                bytes: gauge(&meter, c::CACHE_MEMORY),
                evictions: counter(&meter, c::CACHE_EVICTIONS),
            },
            models: calls(c::MODEL_REQUESTS, c::MODEL_ERRORS, c::MODEL_DURATION)?,
            batches: BatchInstruments {
                info: live.gauge(c::MODEL_INFO)?,
                rows: live.histogram(c::BATCH_ROWS)?,
                tokens: live.histogram(c::BATCH_TOKENS)?,
                duration: live.histogram(c::BATCH_DURATION)?,
                starts: live.counter(c::BATCH_STARTS)?,
                deliberate_wait: live.histogram(c::BATCH_DELIBERATE_WAIT)?,
                bisections: live.counter(c::BATCH_BISECTIONS)?,
                memory_splits: live.counter(c::BATCH_MEMORY_SPLITS)?,
                rows_failed: live.counter(c::BATCH_ROWS_FAILED)?,
                rows_reused: live.counter(c::MODEL_ROWS_REUSED)?,
                window: live.histogram(c::WINDOW_CHOSEN)?,
                rows_expected: live.real_counter(c::WINDOW_ROWS_EXPECTED)?,
                rows_arrived: live.counter(c::WINDOW_ROWS_ARRIVED)?,
                crashes: live.counter(c::EXECUTOR_CRASHES)?,
                wait: live.histogram(c::QUEUE_WAIT)?,
                refused: live.counter(c::QUEUE_REFUSED)?,
                expired: live.counter(c::QUEUE_EXPIRED)?,
                cancelled: live.counter(c::QUEUE_CANCELLED)?,
            },
            watched: Watched::new(&meter),
            workers: Workers::new(&meter),
            streams: StreamInstruments {
                connected: live.gauge(c::STREAM_CONNECTED)?,
                lag: live.gauge(c::STREAM_LAG)?,
                oldest: live.gauge(c::STREAM_OLDEST)?,
                in_flight: live.gauge(c::STREAM_IN_FLIGHT)?,
                answered: live.counter(c::STREAM_ANSWERED)?,
                redelivered: live.counter(c::STREAM_REDELIVERED)?,
                dead: live.counter(c::STREAM_DEAD)?,
                errors: live.counter(c::STREAM_ERRORS)?,
            },
            server: ServerMetrics(Arc::new(ServerInstruments {
                in_flight: up_down(&meter, c::SERVER_IN_FLIGHT),
                streams: up_down(&meter, c::SERVER_STREAMS),
                auth_refused: counter(&meter, c::AUTH_REFUSED),
                auth_reload_errors: counter(&meter, c::AUTH_RELOAD_ERRORS),
                audit_lost: counter(&meter, c::AUDIT_LOST),
                refused: counter(&meter, c::SERVER_REFUSED),
                cut: counter(&meter, c::SERVER_CUT),
                slowed: counter(&meter, c::SERVER_SLOWED),
                connections: up_down(&meter, c::SERVER_CONNECTIONS),
                panics: counter(&meter, c::SERVER_PANICS),
                bytes_in_flight: observed(&meter, c::SERVER_BYTES_IN_FLIGHT),
                handshakes: counter(&meter, c::SERVER_HANDSHAKES),
                insecure: gauge(&meter, c::SERVER_INSECURE),
            })),
            tls: TlsInstruments {
                expiry: gauge(&meter, c::TLS_EXPIRY),
                files_read: counter(&meter, c::TLS_READ),
            },
            reloads: counter(&meter, c::RELOADS),
            reload_errors: counter(&meter, c::RELOAD_ERRORS),
            provider,
            live_provider,
            registry,
        };
        gauge(&meter, c::BUILD_INFO).record(
            1,
            &[
                KeyValue::new("service", service.to_owned()),
                KeyValue::new("version", env!("CARGO_PKG_VERSION")),
            ],
        );
        observe_memory(&meter);
        Ok(Self(Arc::new(inner)))
    }

    /// The handle for requests to one pipeline through one surface (`typed`, `oip`).
    pub fn pipeline(&self, pipeline: &str, surface: &str) -> CallMetrics {
        CallMetrics::new(&self.0.pipelines, &[pipeline, surface])
    }

    /// The handle for one node of a pipeline.
    pub fn node(&self, pipeline: &str, node: &str) -> CallMetrics {
        CallMetrics::new(&self.0.nodes, &[pipeline, node])
    }

    /// The handle for a shadow arm of a node.
    pub fn shadow(&self, pipeline: &str, node: &str, arm: &str) -> ShadowMetrics {
        ShadowMetrics::new(&self.0.shadows, [pipeline, node, arm])
    }

    /// The handle for one pipeline's refusals for lack of time.
    pub fn refusals(&self, pipeline: &str) -> RefusalMetrics {
        RefusalMetrics::new(&self.0.refusals, pipeline)
    }

    /// The handle for the retries and hedges of one node of a pipeline.
    pub fn repeats(&self, pipeline: &str, node: &str) -> RepeatMetrics {
        RepeatMetrics::new(&self.0.repeats, pipeline, node)
    }

    /// Records whether a model in another process is ready.
    pub fn model_ready(&self, model: &str, is_ready: bool) {
        let labels = [KeyValue::new("model", model.to_owned())];
        self.0.model_ready.record(u64::from(is_ready), &labels);
    }

    /// The handle for the circuit breaker of one model.
    pub fn circuit(&self, model: &str) -> CircuitMetrics {
        CircuitMetrics::new(&self.0.circuits, model)
    }

    /// The handle for the cache of one model's answers.
    pub fn cache(&self, model: &str) -> CacheMetrics {
        CacheMetrics::new(&self.0.caches, model)
    }

    /// The handle for one model.
    pub fn model(&self, model: &str) -> ModelMetrics {
        ModelMetrics {
            calls: CallMetrics::new(&self.0.models, &[model]),
            batches: Arc::new(BatchSeries::new(&self.0.batches, model)),
            watched: self.0.watched.clone(),
            labels: [KeyValue::new("model", Value::from(Arc::<str>::from(model)))].into(),
        }
    }

    /// The handle for one stream.
    pub fn stream(&self, stream: &str) -> StreamMetrics {
        StreamMetrics::new(&self.0.streams, stream)
    }

    /// Watches a worker of a batch of this pipeline.
    pub fn worker(
        &self,
        pipeline: &str,
        read: impl Fn() -> WorkerState + Send + Sync + 'static,
    ) -> WorkerWatch {
        self.0.workers.add(pipeline, read)
    }

    /// Counts a change of watched files, which was taken or refused.
    pub fn reloaded(&self, is_taken: bool) {
        let counter = match is_taken {
            true => &self.0.reloads,
            false => &self.0.reload_errors,
        };
        counter.add(1, &[]);
    }

    /// The handle for the gRPC port.
    pub fn server(&self) -> ServerMetrics {
        self.0.server.clone()
    }

    /// The handle for one certificate in use: that of the `server`, or one that is called with.
    pub fn tls(&self, certificate: &str) -> TlsMetrics {
        TlsMetrics::new(&self.0.tls, certificate)
    }

    /// Everything as Prometheus text.
    ///
    /// # Errors
    /// If an instrument has a value that Prometheus text cannot express.
    pub fn render(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.0.registry.gather())?)
    }

    /// Sends what the OTLP reader still holds, and stops it. Blocks until it is sent.
    pub fn shutdown(&self) {
        let live = self.0.live_provider.iter();
        for provider in live.chain([&self.0.provider]) {
            if let Err(error) = provider.shutdown() {
                tracing::warn!(%error, "the last metrics could not be sent");
            }
        }
    }
}

fn counter(meter: &Meter, instrument: Instrument) -> Counter<u64> {
    meter
        .u64_counter(instrument.name)
        .with_unit(instrument.unit)
        .with_description(instrument.description)
        .build()
}

/// A counter of fractional amounts.
fn real_counter(meter: &Meter, instrument: Instrument) -> Counter<f64> {
    meter
        .f64_counter(instrument.name)
        .with_unit(instrument.unit)
        .with_description(instrument.description)
        .build()
}

fn up_down(meter: &Meter, instrument: Instrument) -> UpDownCounter<i64> {
    meter
        .i64_up_down_counter(instrument.name)
        .with_unit(instrument.unit)
        .with_description(instrument.description)
        .build()
}

fn gauge(meter: &Meter, instrument: Instrument) -> Gauge<u64> {
    meter
        .u64_gauge(instrument.name)
        .with_unit(instrument.unit)
        .with_description(instrument.description)
        .build()
}

/// A gauge that is read from the number that is returned.
fn observed(meter: &Meter, instrument: Instrument) -> Arc<AtomicUsize> {
    let value = Arc::new(AtomicUsize::new(0));
    let read = value.clone();
    // The provider keeps the callback; the handle itself is not needed.
    let _ = meter
        .u64_observable_gauge(instrument.name)
        .with_unit(instrument.unit)
        .with_description(instrument.description)
        .with_callback(move |observer| {
            observer.observe(read.load(Ordering::Relaxed) as u64, &[]);
        })
        .build();
    value
}

fn bounds(instrument: Instrument) -> Vec<f64> {
    match instrument.kind {
        Kind::Histogram(buckets) => buckets.bounds().to_vec(),
        _ => Vec::new(),
    }
}

fn real_histogram(meter: &Meter, instrument: Instrument) -> Histogram<f64> {
    meter
        .f64_histogram(instrument.name)
        .with_unit(instrument.unit)
        .with_description(instrument.description)
        .with_boundaries(bounds(instrument))
        .build()
}

fn observe_memory(meter: &Meter) {
    let memory = catalogue::PROCESS_MEMORY;
    // The provider keeps the callback; the handle itself is not needed.
    let _ = meter
        .u64_observable_gauge(memory.name)
        .with_unit(memory.unit)
        .with_description(memory.description)
        .with_callback(|observer| {
            if let Some(bytes) = crate::heap::resident_bytes() {
                observer.observe(bytes, &[]);
            }
        })
        .build();
}

#[cfg(test)]
mod tests;
