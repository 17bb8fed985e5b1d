//! `motet up`, `motet gateway` and `motet serve`: a process until a signal stops it.

use std::io::{IsTerminal, Write};

use motet_runtime::telemetry;

use super::runtime;
use super::summary::summary;
use crate::args::LogFormat;
use crate::process::{self, Options};

/// Serves until a signal. `program` is the name of the program in what it shows.
pub(super) fn run(options: Options, program: &str) -> anyhow::Result<()> {
    runtime()?.block_on(serve(options, program))
}

async fn serve(options: Options, program: &str) -> anyhow::Result<()> {
    let telemetry = telemetry::init(&telemetry::Options {
        service_name: options.role.service_name().to_owned(),
        log_format: match options.listen.log_format {
            LogFormat::Human => telemetry::LogFormat::Human,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
    })?;
    let result = until_signalled(options, program).await;
    telemetry.shutdown().await;
    result
}

async fn until_signalled(options: Options, program: &str) -> anyhow::Result<()> {
    // From the beginning: a signal stops the process while it loads, too.
    let mut stop = tokio::spawn(motet_runtime::shutdown::signal());
    let running = tokio::select! {
        running = process::start(options) => running?,
        signal = &mut stop => {
            tracing::info!(signal = signal??, "stopped before it was ready");
            return Ok(());
        }
    };
    let mut stdout = std::io::stdout();
    let mut text = format!("{}\n", running.ready_line());
    if stdout.is_terminal() {
        text.push_str(&summary(&running, program));
    }
    // The process serves even if its output was closed.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    let signal = stop.await??;
    tracing::info!(signal, "stopping: what is in flight finishes first");
    let dropped = running.stop().await;
    tracing::info!(dropped, "stopped");
    Ok(())
}
