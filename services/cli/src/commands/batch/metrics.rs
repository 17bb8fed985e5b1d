//! Health and metrics of a worker, over HTTP, while it works.

use std::sync::Arc;

use motet_batch::{BatchError, Progress, Snapshot};
use motet_runtime::config::Exposure;
use motet_runtime::health::OVERALL;
use motet_runtime::metrics::{WorkerState, WorkerWatch};

use super::target::Target;
use crate::args::{CallingArgs, HttpAddress, ListenArgs};
use crate::process::{HttpPort, Instruments};

/// Name of the process in metrics, where the models are elsewhere.
const SERVICE: &str = "motet-batch";

/// The HTTP port of a worker.
pub(super) struct Metrics {
    port: HttpPort,
    instruments: Instruments,
}

impl Metrics {
    /// Serves health and metrics, if the arguments say where.
    ///
    /// # Errors
    /// An address that is taken, or that strangers may reach and nobody has said that they may.
    pub(super) async fn serve(args: &CallingArgs, target: &Target) -> anyhow::Result<Option<Self>> {
        let Some(address) = args.http else {
            return Ok(None);
        };
        let instruments = match target.instruments() {
            Some(instruments) => instruments,
            None => Instruments::named(SERVICE)?,
        };
        let mut spec = target.spec().clone();
        if args.insecure {
            spec.insecure = motet_runtime::config::Insecure::Http;
        }
        let flags = ListenArgs {
            http: Some(HttpAddress::At(address)),
            ..ListenArgs::default()
        };
        let port = HttpPort::serve(&spec, &flags, &instruments).await;
        let port = port.map_err(|error| BatchError::cannot(format!("--http: {error:#}")))?;
        if let Some(address) = port.address {
            if let Some(Exposure::Open(lack)) = port.exposure {
                eprintln!("INSECURE: `http` listens on {address} {}", lack.words());
            }
            eprintln!("ready http={address}");
        }
        instruments.health.set(OVERALL, true);
        Ok(Some(Self { port, instruments }))
    }

    /// Shows the progress of a worker of this pipeline, until the return value is dropped.
    pub(super) fn watch(&self, pipeline: &str, progress: Arc<Progress>) -> WorkerWatch {
        let read = move || state(&progress.snapshot());
        self.instruments.metrics.worker(pipeline, read)
    }

    /// Ends it.
    pub(super) async fn end(self) {
        self.port.stop().await;
    }
}

fn state(now: &Snapshot) -> WorkerState {
    WorkerState {
        rows_answered: now.rows.saturating_sub(now.errors + now.degraded),
        rows_degraded: now.degraded,
        rows_failed: now.errors,
        rows_planned: now.rows_asked,
        tokens: now.tokens,
        calls_failed: now.failed_calls,
        in_flight: now.in_flight,
        in_flight_max: now.in_flight_max,
        units_written: now.units,
        units_lost: now.lost_units,
        units_planned: now.units_asked,
        rows_per_second: now.rate(),
        seconds_left: now.left().map(|left| left.as_secs_f64()),
    }
}
