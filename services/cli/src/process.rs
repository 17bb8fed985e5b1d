//! A process: a gateway, model services, or both; started, and drained at the end.
//!
//! What can go wrong comes first and quickly: the configuration is checked, then the ports are
//! bound, and only then are weights read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use motet_gateway::backend::Backend;
use motet_gateway::grpc::Endpoints;
use motet_gateway::serve::{Gateway, GatewayParts};
use motet_runtime::config::{Endpoint, ServerSpec};
use motet_runtime::health::{Health, OVERALL};
use motet_runtime::http::HttpState;
use motet_runtime::layers;
use motet_runtime::limits::Admission;
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use motet_runtime::serve::{Drained, Protocol, ServeOptions, Server};
use motet_service::{Loader, ModelServer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::args::{HttpAddress, ListenArgs};
use crate::load::{Configuration, Signatures};
use crate::places::places;
use crate::waiting::{describe, wait_for};

/// Which parts of a configuration a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The gateway, and every model that has no other place.
    Up,
    /// The gateway alone.
    Gateway,
    /// Model services alone: these models, or all when there is none.
    Serve(Vec<String>),
}

impl Role {
    /// The name of the process in traces and metrics.
    pub const fn service_name(&self) -> &'static str {
        match self {
            Self::Up => "motet",
            Self::Gateway => "motet-gateway",
            Self::Serve(_) => "motet-models",
        }
    }
}

/// What a process is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it runs.
    pub role: Role,
    /// The configuration file; the built-in one when there is none.
    pub file: Option<PathBuf>,
    /// Where to listen, in place of what the file says.
    pub listen: ListenArgs,
    /// Where models are, in place of what the file says.
    pub endpoints: Vec<(String, Endpoint)>,
    /// How long to wait for models and endpoints in other processes.
    pub wait: Duration,
}

/// A process that is ready.
#[derive(Debug)]
pub struct Running {
    /// Where it answers gRPC.
    pub grpc: SocketAddr,
    /// Where it answers HTTP.
    pub http: Option<SocketAddr>,
    health: Health,
    shutdown: CancellationToken,
    grpc_server: JoinHandle<Drained>,
    http_server: Option<JoinHandle<Drained>>,
    /// Ends the HTTP port, which answers until everything else has ended.
    http_shutdown: CancellationToken,
    models: Option<ModelServer>,
    metrics: Metrics,
}

/// Starts a process, and gives it once every model is loaded and warm. Needs a tokio runtime.
///
/// # Errors
/// [`Mistakes`](crate::load::Mistakes) in the configuration; anything else that is in the way, in
/// one line.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    let mut configuration = Configuration::read(options.file.as_deref())?;
    let server = server_spec(&configuration.config.server, &options.listen);
    if configuration.config.lone_pipeline {
        bail!(
            "{} is one pipeline and not a configuration: name it under `pipelines` in a \
             configuration file, beside the models that it calls",
            options.file.unwrap_or_default().display()
        );
    }
    if configuration.diagnostics.has_errors() {
        // Nothing will start: find what else is wrong, so that one run shows it all.
        return Err(configuration.all_mistakes().into());
    }
    let places = places(&configuration, &options)?;
    let blueprints = configuration.blueprints(|m| places.is_local(m));
    let mut signatures =
        Signatures::unknown(&configuration.config.models).with_blueprints(&blueprints);
    let serves_pipelines = !matches!(options.role, Role::Serve(_));
    if serves_pipelines {
        signatures = signatures.with_services(configuration.services());
    }
    if configuration.diagnostics.has_errors() {
        return Err(configuration.all_mistakes().into());
    }

    let health = Health::new();
    let metrics = Metrics::from_env(options.role.service_name())?;
    let shutdown = CancellationToken::new();
    let http_shutdown = CancellationToken::new();
    let grpc_server = Server::bind(server.grpc, serve_options(&server, Protocol::Grpc)).await?;
    let http_server = match server.http {
        Some(address) => Some(Server::bind(address, serve_options(&server, Protocol::Http)).await?),
        None => None,
    };
    let (grpc, http) = (
        grpc_server.local_addr(),
        http_server.as_ref().map(Server::local_addr),
    );
    // Liveness and readiness answer while models load.
    let http_server = http_server.map(|server| {
        let state = HttpState {
            health: health.clone(),
            metrics: metrics.clone(),
        };
        let router = motet_runtime::http::router(state);
        server.spawn(router, http_shutdown.clone())
    });

    let remote = places.connect(server.max_message_bytes)?;
    let endpoints = Endpoints::new(places.endpoints, server.max_message_bytes);
    if serves_pipelines {
        for backend in &remote {
            let signature = wait_for(backend, options.wait).await?;
            signatures.insert(backend.model(), Ok(signature));
            health.set(backend.model(), true);
        }
        for (endpoint, service) in signatures.services.to_ask(configuration.needs()) {
            if let Some(remote) = endpoints.get(&endpoint) {
                let answer = describe(&remote, &service, options.wait).await;
                signatures.services.insert(endpoint, service, answer);
            }
        }
    }
    let pipelines = if serves_pipelines {
        configuration.check(&signatures, false)
    } else {
        Vec::new()
    };
    configuration.ok()?;
    for warning in configuration.diagnostics.sorted() {
        tracing::warn!("{}", warning.message);
    }

    let loader = Loader::new(metrics.clone(), health.clone())?;
    let models = ModelServer::new(loader.load_all(blueprints).await?);
    let routes = if serves_pipelines {
        let local = models.local(server.max_message_bytes);
        let backends = models
            .models()
            .iter()
            .map(|m| {
                Backend::local(m.name(), local.clone(), server.max_message_bytes)
                    .with_method(models.clone())
            })
            .chain(remote)
            .collect();
        let gateway = Gateway::new(GatewayParts {
            models: backends,
            signatures: std::sync::Arc::new(signatures),
            endpoints: std::sync::Arc::new(endpoints),
            pipelines,
            message_bytes_max: server.max_message_bytes,
            metrics: metrics.clone(),
            health: health.clone(),
        })?;
        gateway.routes()
    } else {
        LiveRoutes::new(models.routes(&health, server.max_message_bytes)?)
    };
    let admission =
        Admission::new(server.max_concurrent_requests).reading_within(server.read_timeout);
    let stack = layers::stack(routes, admission, &metrics);
    let grpc_server = grpc_server.spawn(stack, shutdown.clone());
    health.set(OVERALL, true);
    Ok(Running {
        grpc,
        http,
        health,
        shutdown,
        grpc_server,
        http_server,
        http_shutdown,
        models: Some(models),
        metrics,
    })
}

impl Running {
    /// The line that says that the process is ready.
    pub fn ready_line(&self) -> String {
        let http = self
            .http
            .map_or_else(|| "off".to_owned(), |a| a.to_string());
        format!("ready grpc={} http={http}", self.grpc)
    }

    /// Takes the process out of service: health goes NOT_SERVING, requests in flight finish
    /// within the grace period, the models' queues are answered, and the ports close. Gives how
    /// many requests had to be dropped.
    pub async fn stop(mut self) -> usize {
        motet_runtime::shutdown::drain(&self.health, &self.shutdown, Duration::ZERO).await;
        let dropped = match (&mut self.grpc_server).await {
            Ok(drained) => drained.dropped,
            Err(error) => {
                tracing::error!(%error, "the gRPC port ended in a panic");
                0
            }
        };
        if let Some(models) = self.models.take() {
            models.drain().await;
        }
        self.http_shutdown.cancel();
        if let Some(server) = self.http_server.take() {
            // Its own requests are short; a panic in one is logged where it happened.
            let _ = server.await;
        }
        let metrics = self.metrics.clone();
        let _ = tokio::task::spawn_blocking(move || metrics.shutdown()).await;
        dropped
    }
}

impl Drop for Running {
    /// A process that is dropped without [`Running::stop`] ends without waiting.
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.http_shutdown.cancel();
    }
}

fn server_spec(file: &ServerSpec, flags: &ListenArgs) -> ServerSpec {
    let mut spec = file.clone();
    if let Some(grpc) = flags.grpc {
        spec.grpc = grpc;
    }
    match flags.http {
        Some(HttpAddress::Off) => spec.http = None,
        Some(HttpAddress::At(address)) => spec.http = Some(address),
        None => {}
    }
    if let Some(grace) = flags.grace {
        spec.grace = grace;
    }
    spec
}

fn serve_options(server: &ServerSpec, protocol: Protocol) -> ServeOptions {
    ServeOptions {
        protocol,
        max_concurrent_streams: server.max_concurrent_streams,
        grace: server.grace,
        ..ServeOptions::default()
    }
}
