//! Logs and traces of a process.
//!
//! Logs go to stderr. Traces go where the standard `OTEL_*` variables say, by OTLP over gRPC or
//! HTTP. Without them nothing is exported, but the caller's `traceparent` is handed on and log
//! lines carry the trace id.
//!
//! * `export`: the exporters that the environment asks for; `http_client` and `tls` are their
//!   transport.
//! * `logs`: the format of log lines.
//! * [`propagate`]: trace context in requests and outgoing calls.

mod export;
mod http_client;
mod logs;
pub mod propagate;
mod tls;

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::MeterProviderBuilder;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, FilterFn, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::tls::TlsProblem;

pub(crate) use http_client::Client as HttpsClient;
pub use logs::LogFormat;

/// Log levels without `RUST_LOG`.
const DEFAULT_LEVELS: &str = "warn,motet=info";

/// Options of logs and traces.
#[derive(Clone, Debug)]
pub struct Options {
    /// The exported `service.name`, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` set
    /// it.
    pub service_name: String,
    /// The format of log lines.
    pub log_format: LogFormat,
}

/// An error that prevents telemetry from starting.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` cannot be read.
    #[error("RUST_LOG is not valid: {0} (an example: RUST_LOG=warn,motet=debug)")]
    Levels(#[from] tracing_subscriber::filter::ParseError),
    /// The OTLP exporter that the environment asks for cannot be made.
    #[error("cannot export to OTLP as the OTEL_* variables ask: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The environment asks for something that this build does not do.
    #[error("{variable}={value} is not supported: {supported}")]
    Unsupported {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The values that are supported.
        supported: &'static str,
    },
    /// A file of TLS that the environment names cannot be used.
    #[error("{variable}={} {}", problem.path.display(), problem.reason)]
    File {
        /// The variable.
        variable: &'static str,
        /// The file, and why it cannot be used.
        problem: TlsProblem,
    },
    /// A certificate is named without its key, or the other way round.
    #[error("{variable} is set, but not {missing}: a certificate is shown with its key")]
    Half {
        /// The variable that is set.
        variable: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// TLS to the collector cannot be set up.
    #[error("cannot export to OTLP over TLS: {0}")]
    Tls(String),
    /// Something in this process has set up logging already.
    #[error("logging is already set up in this process")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// The exporter. Call [`Telemetry::shutdown`] at the end, or the last spans are lost.
#[must_use = "spans are exported while this lives"]
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    spans: Spans,
}

/// `true` if the spans of this process are exported. As logging, this is a property of the process.
static EXPORTING: AtomicBool = AtomicBool::new(false);

/// `true` if the spans of this process are exported.
fn is_exporting() -> bool {
    EXPORTING.load(Ordering::Relaxed)
}

/// The spans that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spans {
    /// All: they are exported.
    All,
    /// Those of whole requests only: log lines take their trace id from them.
    Requests,
}

impl Spans {
    /// A filter that passes log lines and these spans.
    fn filter(self) -> FilterFn<impl Fn(&Metadata<'_>) -> bool + Clone> {
        filter_fn(move |meta| {
            !meta.is_span() || self == Self::All || meta.name() == propagate::REQUEST_SPAN
        })
        // Without a hint, the filter would count as the finest level when it is joined with a
        // filter of levels, and lines that are not logged would be evaluated.
        .with_max_level_hint(LevelFilter::TRACE)
    }
}

/// Sets up logs and traces for the process. Call it once, inside the tokio runtime.
///
/// # Errors
/// When `RUST_LOG` or the `OTEL_*` variables cannot be followed, or logging is already set up.
pub fn init(options: &Options) -> Result<Telemetry, TelemetryError> {
    let levels = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let levels = if levels.trim().is_empty() {
        DEFAULT_LEVELS
    } else {
        &levels
    };
    let filter = EnvFilter::try_new(levels)?;
    let telemetry = Telemetry::from_env(&options.service_name)?;
    Registry::default()
        .with(telemetry.layer())
        .with(
            logs::layer(options.log_format, std::io::stderr)
                .with_filter(filter.and(telemetry.spans.filter())),
        )
        .try_init()?;
    Ok(telemetry)
}

impl Telemetry {
    /// Traces as the environment asks, without setting up logging; see [`Telemetry::layer`].
    ///
    /// # Errors
    /// When the `OTEL_*` variables cannot be followed.
    pub fn from_env(service_name: &str) -> Result<Self, TelemetryError> {
        let mut builder = SdkTracerProvider::builder().with_resource(resource(service_name));
        let mut spans = Spans::Requests;
        if let Some(exporter) = export::spans()? {
            builder = builder.with_batch_exporter(exporter);
            spans = Spans::All;
        } else {
            // Without an exporter nothing is worth recording.
            builder = builder.with_sampler(Sampler::AlwaysOff);
        }
        Ok(Self::new(builder.build(), spans))
    }

    fn new(provider: SdkTracerProvider, spans: Spans) -> Self {
        EXPORTING.store(spans == Spans::All, Ordering::Relaxed);
        Self { provider, spans }
    }

    /// Traces through this provider (a test's exporter).
    pub fn from_provider(provider: SdkTracerProvider) -> Self {
        Self::new(provider, Spans::All)
    }

    /// The layer that turns motet's spans of level INFO and above into OpenTelemetry spans. Spans
    /// of other crates are left out: they are many, and the exporter's would trace themselves. If
    /// nothing is exported, only the spans of whole requests are made.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync + 'static,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("motet"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(
                Targets::new()
                    .with_target("motet", LevelFilter::INFO)
                    .and(self.spans.filter()),
            )
    }

    /// Sends the last spans. Waits up to the exporter's own limit (`OTEL_BSP_EXPORT_TIMEOUT`).
    pub async fn shutdown(self) {
        let provider = self.provider;
        // The exporter blocks its caller, and needs this runtime meanwhile.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans could not be sent"),
            Err(error) => tracing::warn!(%error, "the span exporter failed"),
        }
    }
}

/// The exported description of this process.
pub(crate) fn resource(service_name: &str) -> Resource {
    let from_env = Resource::builder().build();
    let named = from_env
        .get(&"service.name".into())
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if named {
        return from_env;
    }
    Resource::builder()
        .with_service_name(service_name.to_owned())
        .build()
}

/// Adds an OTLP reader; `None` if the environment asks for none.
pub(crate) fn otlp_metrics(
    builder: MeterProviderBuilder,
) -> Result<Option<MeterProviderBuilder>, TelemetryError> {
    Ok(export::metrics()?.map(|exporter| builder.with_periodic_exporter(exporter)))
}
