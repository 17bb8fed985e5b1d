//! A stream of a configuration that can run.

use std::sync::Arc;

use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use crate::broker::{Sink, Source};
use crate::calls::{Calls, Ports};
use crate::chunks::Rows;
use crate::config::{BrokerSpec, StreamSpec};
use crate::core::Options;
use crate::driver::Driver;
use crate::reading::Reader;
use crate::writing::Writer;

/// A mistake of a stream, with what the pipeline takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamProblem {
    /// Place of the key at fault.
    pub span: motet_config::Span,
    /// The mistake.
    pub message: String,
}

/// A stream of a configuration that fits its pipeline.
#[derive(Debug)]
pub struct Stream {
    spec: StreamSpec,
    reader: Arc<Reader>,
    rows: Option<Rows>,
    digest: String,
}

impl Stream {
    /// Checks a stream against what its pipeline takes and gives.
    ///
    /// # Errors
    /// All mistakes.
    pub fn new(spec: &StreamSpec, ports: &Ports) -> Result<Self, Vec<StreamProblem>> {
        let mut problems = Vec::new();
        let pipeline = &spec.pipeline.value;
        let rows = spec.chunk.as_ref().map(|chunk| {
            Rows::of(ports).map_err(|reason| StreamProblem {
                span: chunk.span,
                message: format!("`chunk` needs lists, but pipeline `{pipeline}` {reason}"),
            })
        });
        let rows = rows
            .transpose()
            .map_err(|problem| problems.push(problem))
            .ok()
            .flatten();
        let inputs = rows.as_ref().map_or(&ports.inputs, |rows| &rows.inputs);
        let reader = Reader::new(spec, inputs).map_err(|mistakes| {
            let told = mistakes.0.iter().map(|mistake| StreamProblem {
                span: spec.read.span,
                message: format!("stream `{}`: {mistake}", spec.name.value),
            });
            problems.extend(told);
        });
        match (reader, problems.is_empty()) {
            (Ok(reader), true) => Ok(Self {
                spec: spec.clone(),
                reader: Arc::new(reader),
                rows,
                digest: ports.digest.clone(),
            }),
            _ => Err(problems),
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.spec.name.value
    }

    /// Returns its name in the health of the process.
    pub fn health_name(&self) -> String {
        format!("stream:{}", self.name())
    }

    /// Runs until `stop`, then until everything in flight has ended. Dropped, it leaves what is in
    /// flight to the broker, which delivers it again.
    pub async fn run<C: Calls>(
        self,
        calls: C,
        metrics: &Metrics,
        health: &Health,
        stop: CancellationToken,
    ) {
        let name = self.name().to_owned();
        let broker = self.spec.from.access().shown.clone();
        tracing::info!(
            stream = name,
            broker,
            pipeline = self.spec.pipeline.value,
            "a stream begins"
        );
        match self.spec.from.clone() {
            #[cfg(feature = "nats")]
            BrokerSpec::Nats(spec) => {
                let broker = crate::nats::Nats::new(spec, self.spec.settings, self.places());
                self.drive(broker, calls, metrics, health, stop).await;
            }
            #[cfg(feature = "redis")]
            BrokerSpec::Redis(spec) => {
                let broker = crate::redis_streams::Redis::new(spec, self.spec.settings);
                self.drive(broker, calls, metrics, health, stop).await;
            }
            #[cfg(feature = "kafka")]
            BrokerSpec::Kafka(spec) => {
                let broker = crate::kafka::Kafka::new(spec, self.spec.settings, self.places());
                self.drive(broker, calls, metrics, health, stop).await;
            }
            // Such a configuration is refused when it is read.
            #[cfg(not(feature = "nats"))]
            BrokerSpec::Nats(_) => tracing::error!(stream = name, "there is no NATS"),
            #[cfg(not(feature = "redis"))]
            BrokerSpec::Redis(_) => tracing::error!(stream = name, "there is no Redis"),
            #[cfg(not(feature = "kafka"))]
            BrokerSpec::Kafka(_) => tracing::error!(stream = name, "there is no Kafka"),
        }
        #[cfg(not(any(feature = "kafka", feature = "nats", feature = "redis")))]
        let _ = (calls, metrics, health, stop);
    }

    /// Returns where letters go.
    #[cfg(any(feature = "kafka", feature = "nats"))]
    fn places(&self) -> [String; 2] {
        let (to, dead) = (&self.spec.to.place, &self.spec.dead.place);
        [to.value.clone(), dead.value.clone()]
    }

    /// Runs with a broker.
    pub async fn drive<B: Source + Sink, C: Calls>(
        self,
        broker: B,
        calls: C,
        metrics: &Metrics,
        health: &Health,
        stop: CancellationToken,
    ) {
        let settings = self.spec.settings;
        let driver = Driver {
            name: self.name().to_owned(),
            health_name: self.health_name(),
            options: Options {
                order: settings.order,
                in_flight: settings.in_flight,
                after: self.spec.dead.after,
                chunk: self.spec.chunk.as_ref().map(|chunk| chunk.value),
                ack_wait: settings.ack_wait,
                delays: matches!(self.spec.from, BrokerSpec::Nats(_)),
                ..Options::default()
            },
            deadline: settings.deadline,
            broker: Arc::new(broker),
            calls: Arc::new(calls),
            reader: self.reader,
            rows: self.rows,
            metrics: metrics.stream(&self.spec.name.value),
            writer: Writer::new(self.spec, self.digest),
            health: health.clone(),
        };
        driver.run(stop).await;
    }
}
