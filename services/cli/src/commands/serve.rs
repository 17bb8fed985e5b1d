//! `motet up`, `motet gateway` and `motet serve`: a process until it is told to stop.

use std::io::Write;

use motet_runtime::telemetry;

use super::runtime;
use crate::args::LogFormat;
use crate::process::{self, Options};

pub(super) fn run(options: Options) -> anyhow::Result<()> {
    runtime()?.block_on(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let telemetry = telemetry::init(&telemetry::Options {
        service_name: options.role.service_name().to_owned(),
        log_format: match options.listen.log_format {
            LogFormat::Human => telemetry::LogFormat::Human,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
    })?;
    let result = until_told(options).await;
    telemetry.shutdown().await;
    result
}

async fn until_told(options: Options) -> anyhow::Result<()> {
    // Listened to from the beginning, so that a stop while models load is a stop too.
    let mut stop = tokio::spawn(motet_runtime::shutdown::signal());
    let running = tokio::select! {
        running = process::start(options) => running?,
        signal = &mut stop => {
            tracing::info!(signal = signal??, "stopped before it was ready");
            return Ok(());
        }
    };
    let mut stdout = std::io::stdout();
    // Whoever started the process may have closed its output; it serves all the same.
    let _ = writeln!(stdout, "{}", running.ready_line()).and_then(|()| stdout.flush());
    let signal = stop.await??;
    tracing::info!(signal, "stopping: what is in flight finishes first");
    let dropped = running.stop().await;
    tracing::info!(dropped, "stopped");
    Ok(())
}
