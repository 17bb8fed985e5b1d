//! Streams of a process: their pipelines, and the tasks that run them.
//!
//! * `ports`: what a pipeline takes and gives.
//! * `calls`: calls of a pipeline for messages.

mod calls;
pub(crate) mod ports;

use std::time::Duration;

use anyhow::{Context, bail};
use motet_stream::Stream;
use motet_stream::config::StreamSpec;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::process::Instruments;
use calls::PipelineCalls;

/// Streams that run. Without it they end, and leave what is in flight to their brokers.
#[derive(Debug)]
pub(crate) struct RunningStreams {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl RunningStreams {
    /// Starts streams, whose pipelines are those of `client`. `needed` if the process is not ready
    /// without them.
    ///
    /// # Errors
    /// When a pipeline is not there, or does not take what the messages have.
    pub(crate) async fn start(
        specs: &[StreamSpec],
        client: &Client,
        instruments: &Instruments,
        needed: bool,
    ) -> anyhow::Result<Self> {
        let mut running = Self {
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
        };
        let mut streams = Vec::new();
        for spec in specs {
            let pipeline = &spec.pipeline.value;
            let ports = ports::of_server(client, pipeline).await;
            let ports = ports.with_context(|| format!("stream `{}`", spec.name.value))?;
            let stream = match Stream::new(spec, &ports) {
                Ok(stream) => stream,
                Err(problems) => {
                    let told: Vec<_> = problems.into_iter().map(|p| p.message).collect();
                    bail!("{}", told.join("\n"));
                }
            };
            let pipeline = client.pipeline(pipeline).await?;
            streams.push((stream, PipelineCalls::new(pipeline, spec.settings.is_bulk)));
        }
        for (stream, calls) in streams {
            let Instruments { health, metrics } = instruments.clone();
            match needed {
                true => health.set(stream.health_name(), false),
                false => health.set_spared(stream.health_name(), false),
            }
            let stop = running.stop.clone();
            running.tasks.spawn(async move {
                stream.run(calls, &metrics, &health, stop).await;
            });
        }
        Ok(running)
    }

    /// Ends the streams: they take no more messages, and what is in flight has this time to end.
    pub(crate) async fn stop(mut self, grace: Duration) {
        self.stop.cancel();
        let until = Instant::now() + grace;
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a stream ended in a panic");
                }
            }
        };
        if timeout_at(until, all).await.is_err() {
            let streams = self.tasks.len();
            tracing::warn!(
                streams,
                "messages were in flight at the end: they are delivered again"
            );
        }
    }
}
