//! `motet stream`: pipelines over messages of brokers, until a signal stops it.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use motet_runtime::health::OVERALL;
use motet_runtime::shutdown;
use motet_runtime::telemetry;
use motet_service::Tasks;
use tokio::time::{Instant, sleep};

use super::runtime;
use crate::args::{LogFormat, ServerArgs, StreamArgs};
use crate::client::Client;
use crate::configuration::Configuration;
use crate::connection;
use crate::process::{HttpPort, Instruments};
use crate::server::Server;
use crate::streams::RunningStreams;

/// The name of the process in traces and metrics.
const SERVICE: &str = "motet-stream";
/// Time between two questions whether a server is there.
const ASK_AGAIN: Duration = Duration::from_millis(500);

pub(super) fn run(args: StreamArgs, tasks: &Tasks) -> anyhow::Result<()> {
    runtime()?.block_on(with_telemetry(args, tasks))
}

async fn with_telemetry(args: StreamArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let telemetry = telemetry::init(&telemetry::Options {
        service_name: SERVICE.to_owned(),
        log_format: match args.listen.log_format {
            LogFormat::Human => telemetry::LogFormat::Human,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
    })?;
    let result = until_signalled(args, tasks).await;
    telemetry.shutdown().await;
    result
}

/// A process whose streams run.
struct Running {
    streams: RunningStreams,
    http: HttpPort,
    instruments: Instruments,
    /// The pipelines, if they run in this process.
    server: Option<Server>,
}

async fn until_signalled(args: StreamArgs, tasks: &Tasks) -> anyhow::Result<()> {
    // From the beginning: a signal stops the process while it loads, too.
    let mut stop = tokio::spawn(shutdown::signal());
    let running = tokio::select! {
        running = start(args, tasks) => running?,
        signal = &mut stop => {
            tracing::info!(signal = signal??, "stopped before it was ready");
            return Ok(());
        }
    };
    let http = running.http.address;
    let http = http.map_or_else(|| "off".to_owned(), |address| address.to_string());
    let mut stdout = std::io::stdout();
    // The process serves even if its output was closed.
    let _ = writeln!(stdout, "ready http={http}").and_then(|()| stdout.flush());
    let signal = stop.await??;
    tracing::info!(signal, "stopping: what is in flight finishes first");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

async fn start(args: StreamArgs, tasks: &Tasks) -> anyhow::Result<Running> {
    let files = args.files.clone().files()?;
    let mut configuration = Configuration::read(&files, tasks)?;
    configuration.check_access();
    configuration.ok()?;
    let streams = configuration.config.streams.clone();
    if streams.is_empty() {
        bail!("{} has no `streams`", files.name());
    }
    let spec = configuration.config.server.clone();
    let (client, instruments, http, server) = match &args.to {
        Some(_) => {
            let instruments = Instruments::named(SERVICE)?;
            let http = HttpPort::serve(&spec, &args.listen, &instruments).await?;
            let client = remote(&args)?;
            wait_for(&client, &streams[0].pipeline.value, args.wait).await?;
            (client, instruments, http, None)
        }
        None => {
            let server = Server::start(Ok(configuration)).await?;
            let instruments = server.instruments().clone();
            let http = HttpPort::serve(&spec, &args.listen, &instruments).await?;
            server.ready().await?;
            (server.client(), instruments, http, Some(server))
        }
    };
    let streams = RunningStreams::start(&streams, &client, &instruments, true).await?;
    instruments.health.set(OVERALL, true);
    Ok(Running {
        streams,
        http,
        instruments,
        server,
    })
}

/// Returns a client of the server of `--to`.
fn remote(args: &StreamArgs) -> anyhow::Result<Client> {
    let server = ServerArgs {
        address: args.to.clone().context("no server")?,
        credentials: args.credentials.clone(),
    };
    let connection = connection::lazily(&server)?;
    Ok(Client::of_command(connection))
}

/// Waits until a server is there that has a pipeline.
async fn wait_for(client: &Client, pipeline: &str, wait: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + wait;
    loop {
        match crate::streams::ports::of_server(client, pipeline).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(error) => tracing::debug!("the server is not there yet: {error:#}"),
        }
        sleep(ASK_AGAIN).await;
    }
}

impl Running {
    async fn stop(self) {
        self.instruments.health.drain();
        self.streams.stop(self.http.grace).await;
        if let Some(server) = &self.server {
            server.drain().await;
        } else {
            let metrics = self.instruments.metrics.clone();
            let _ = tokio::task::spawn_blocking(move || metrics.shutdown()).await;
        }
        self.http.stop().await;
    }
}
