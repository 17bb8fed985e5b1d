//! A process: a gateway, model services, or both.
//!
//! * `startup`: the phases from a configuration to what can be served.
//! * `guards`: who may call, and what is written of it.
//! * `ports`: the ports of a process; `security`: TLS, and who may reach them.
//! * `models`: its models while it serves; `watch`: its files meanwhile.
//! * [`Running`]: a ready process, until it is drained.
//! * [`Overview`]: what it serves.

mod guards;
mod models;
mod overview;
mod ports;
mod security;
mod startup;
mod watch;

use std::net::SocketAddr;
use std::time::Duration;

use motet_gateway::serve::Gateway;
use motet_runtime::config::Endpoint;
use motet_runtime::health::{Health, OVERALL};
use motet_runtime::metrics::Metrics;
use motet_runtime::serve::Drained;
use motet_service::{MemoryLimit, ModelServer, Tasks};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::args::ListenArgs;
use crate::configuration::{Configuration, Files};
use crate::placement::Flags;
use crate::streams::RunningStreams;

use ports::Ports;
use watch::Reloader;

pub(crate) use guards::ProcessGuards;
pub use overview::{Overview, PipelineOverview};
pub(crate) use ports::{HttpPort, admission};
pub(crate) use startup::{Instruments, Served, Startup};

/// Which parts of a configuration a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The gateway, and every model that is not placed elsewhere.
    Up,
    /// The gateway alone.
    Gateway,
    /// Model services alone: these models, or all if there are none.
    Serve(Vec<String>),
}

impl Role {
    /// Returns the name of the process in traces and metrics.
    pub const fn service_name(&self) -> &'static str {
        match self {
            Self::Up => "motet",
            Self::Gateway => "motet-gateway",
            Self::Serve(_) => "motet-models",
        }
    }

    /// Returns whether the process serves pipelines.
    const fn has_gateway(&self) -> bool {
        !matches!(self, Self::Serve(_))
    }
}

/// Options of a process.
#[derive(Debug, Clone)]
pub struct Options {
    /// Role: gateway, model services, or both.
    pub role: Role,
    /// The files of its configuration.
    pub files: Files,
    /// Addresses that take precedence over the file's.
    pub listen: ListenArgs,
    /// Addresses of models and endpoints that take precedence over the file's.
    pub endpoints: Vec<(String, Endpoint)>,
    /// How long to wait for models and endpoints in other processes.
    pub wait: Duration,
    /// `true` if models are refused that are not those of the lock file.
    pub locked: bool,
    /// `true` if changes of the files are taken while the process serves.
    pub watch: bool,
    /// The memory that the process may use.
    pub memory: MemoryLimit,
    /// The tasks that models can have.
    pub tasks: Tasks,
}

/// Starts a process. It is ready when this returns: every model is loaded and warm. Needs a tokio
/// runtime.
///
/// # Errors
/// `ConfigurationErrors`, or anything else that prevents the start, in one line.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    let mut configuration = Configuration::read(&options.files, &options.tasks)?;
    let server = configuration.config.server.clone();
    if let Some(tls) = &server.tls {
        tls.check(&mut configuration.diagnostics);
    }
    if options.role.has_gateway() {
        configuration.check_access();
    }
    let mut startup = Startup::new(configuration, options.role.clone());
    let flags = Flags {
        endpoints: options.endpoints.clone(),
    };
    let placement = startup.place(&flags).await?;
    let instruments = Instruments::new(startup.role())?;
    // Ports that are taken are found before weights are read, and liveness and readiness are
    // answered meanwhile.
    let ports = Ports::bind(&server, &options.listen, &instruments).await?;
    let resolved = startup.fetch(&placement, &flags, options.locked).await?;
    let remote = startup.connect(&placement, &instruments.health, options.wait);
    let remote = remote.await?;
    let pipelines = startup.check()?;
    let loading = startup.models(resolved, options.memory, &instruments)?;
    let reloader = options
        .watch
        .then(|| startup.reloader(&options, placement, &loading));
    let streams = match options.role {
        Role::Up => startup.configuration.config.streams.clone(),
        Role::Gateway | Role::Serve(_) => Vec::new(),
    };
    let served = startup.assemble(&loading, remote, pipelines, &instruments)?;
    // Each model answers as soon as it is loaded, and each pipeline as soon as it can.
    let local = ports.local_client(&served);
    let mut running = ports.serve(&served);
    loading.load().await?;
    served.required().await?;
    if !streams.is_empty() {
        // The server is ready without its streams, whose brokers may be away.
        let started = RunningStreams::start(&streams, &local, &instruments, false);
        running.streams = Some(started.await?);
    }
    running.health.set(OVERALL, true);
    if let Some(reloader) = reloader {
        let reloader = Reloader {
            gateway: served.gateway.as_ref().map(Gateway::downgrade),
            ..reloader
        };
        let (metrics, shutdown) = (running.metrics.clone(), running.shutdown.clone());
        tokio::spawn(watch::follow(reloader, metrics, shutdown));
    }
    Ok(running)
}

/// A process that is ready. It ends without draining if it is dropped.
#[derive(Debug)]
pub struct Running {
    /// The address of the gRPC port.
    pub grpc: SocketAddr,
    /// The address that changes the server, where that is not the gRPC port.
    pub admin: Option<SocketAddr>,
    /// The address of the HTTP port, if there is one.
    pub http: Option<SocketAddr>,
    /// Models and pipelines served from the start; a gateway loads and unloads pipelines.
    pub overview: Overview,
    health: Health,
    shutdown: CancellationToken,
    grpc_server: JoinHandle<Drained>,
    admin_server: Option<JoinHandle<Drained>>,
    http_server: Option<JoinHandle<Drained>>,
    /// Shuts down the HTTP port, which answers until everything else has ended.
    http_shutdown: CancellationToken,
    models: Option<ModelServer>,
    /// Time that what is in flight may take in a drain.
    grace: Duration,
    streams: Option<RunningStreams>,
    metrics: Metrics,
}

impl Running {
    /// Returns the line on standard output that tells scripts that the process is ready, and where.
    pub fn ready_line(&self) -> String {
        let http = self
            .http
            .map_or_else(|| "off".to_owned(), |a| a.to_string());
        let admin = self.admin.map(|address| format!(" admin={address}"));
        format!(
            "ready grpc={} http={http}{}",
            self.grpc,
            admin.unwrap_or_default()
        )
    }

    /// Drains the process: health becomes NOT_SERVING, streams take no more messages and end those
    /// that they have, requests in flight finish within the grace period, the models' queues are
    /// emptied, and the ports close. Returns the number of requests that were dropped.
    pub async fn stop(mut self) -> usize {
        if let Some(streams) = self.streams.take() {
            self.health.drain();
            streams.stop(self.grace).await;
        }
        motet_runtime::shutdown::drain(&self.health, &self.shutdown, Duration::ZERO).await;
        let dropped = dropped((&mut self.grpc_server).await)
            + match self.admin_server.take() {
                Some(server) => dropped(server.await),
                None => 0,
            };
        if let Some(models) = self.models.take() {
            models.drain().await;
        }
        self.http_shutdown.cancel();
        if let Some(server) = self.http_server.take() {
            // A panic in one of its requests was logged where it happened.
            let _ = server.await;
        }
        let metrics = self.metrics.clone();
        let _ = tokio::task::spawn_blocking(move || metrics.shutdown()).await;
        dropped
    }
}

/// Returns the number of requests that a gRPC listener dropped at its end.
fn dropped(ended: Result<Drained, tokio::task::JoinError>) -> usize {
    match ended {
        Ok(drained) => drained.dropped,
        Err(error) => {
            tracing::error!(%error, "a gRPC port ended in a panic");
            0
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.http_shutdown.cancel();
    }
}
