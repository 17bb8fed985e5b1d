//! A process: a gateway, model services, or both; started, and drained at the end.
//!
//! What can go wrong comes first and quickly: the configuration is checked, then the ports are
//! bound, and only then are weights read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use motet_gateway::backend::Backend;
use motet_gateway::grpc::reflect::ReflectError;
use motet_gateway::grpc::{Endpoints, NoService, Remote};
use motet_gateway::serve::{Gateway, GatewayParts};
use motet_runtime::config::{Endpoint, ModelSpec, ServerSpec, list_of, nearest};
use motet_runtime::health::{Health, OVERALL};
use motet_runtime::http::HttpState;
use motet_runtime::layers;
use motet_runtime::limits::Admission;
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use motet_runtime::serve::{Drained, Protocol, ServeOptions, Server};
use motet_service::{Loader, ModelServer};
use prost_reflect::ServiceDescriptor;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::args::{HttpAddress, ListenArgs};
use crate::load::{Configuration, Signatures};

/// Pause between two questions to a model service that does not answer yet.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long a server may take to say what its model or service takes and gives.
const SIGNATURE_TIMEOUT: Duration = Duration::from_secs(2);

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

/// Which models run here, and where the others and the endpoints are.
struct Places {
    local: Vec<String>,
    remote: Vec<(String, Endpoint)>,
    endpoints: Vec<(String, Endpoint)>,
}

impl Places {
    fn is_local(&self, model: &ModelSpec) -> bool {
        self.local.contains(&model.name.value)
    }

    fn connect(&self, message_bytes_max: usize) -> anyhow::Result<Vec<Backend>> {
        self.remote
            .iter()
            .map(|(model, endpoint)| {
                Backend::remote(model, endpoint, message_bytes_max)
                    .with_context(|| format!("model {model}: {endpoint} cannot be used"))
            })
            .collect()
    }
}

fn places(configuration: &Configuration, options: &Options) -> anyhow::Result<Places> {
    let models = &configuration.config.models;
    let names: Vec<&str> = models.iter().map(|m| m.name.value.as_str()).collect();
    let wanted: &[String] = match &options.role {
        Role::Serve(models) => models,
        Role::Up | Role::Gateway => &[],
    };
    known_name(wanted, &names, "model")?;
    let endpoints = configuration.config.endpoints.iter();
    let others: Vec<&str> = endpoints.map(|e| e.name.value.as_str()).collect();
    let what = match others.as_slice() {
        [] => "model",
        _ => "model or endpoint",
    };
    let all = [names.as_slice(), others.as_slice()].concat();
    let flagged: Vec<String> = options.endpoints.iter().map(|(n, _)| n.clone()).collect();
    known_name(&flagged, &all, what)?;
    let mut places = Places {
        local: Vec::new(),
        remote: Vec::new(),
        endpoints: Vec::new(),
    };
    for endpoint in &configuration.config.endpoints {
        let name = &endpoint.name.value;
        let flag = options.endpoints.iter().find(|(n, _)| n == name);
        let url = flag
            .map(|(_, e)| e)
            .or(endpoint.url.as_ref().map(|e| &e.value));
        places
            .endpoints
            .extend(url.map(|url| (name.clone(), url.clone())));
    }
    let mut homeless = Vec::new();
    for model in models {
        let name = &model.name.value;
        let flag = options.endpoints.iter().find(|(n, _)| n == name);
        let endpoint = flag
            .map(|(_, e)| e)
            .or(model.endpoint.as_ref().map(|e| &e.value));
        match &options.role {
            Role::Serve(wanted) if wanted.is_empty() && !model.is_local() => {}
            Role::Serve(wanted) if wanted.is_empty() || wanted.contains(name) => {
                if !model.is_local() {
                    bail!("model `{name}` has no `task` and `source`: it cannot be served here");
                }
                places.local.push(name.clone());
            }
            Role::Serve(_) => {}
            Role::Up if flag.is_none() && model.is_local() => places.local.push(name.clone()),
            Role::Up | Role::Gateway => match endpoint {
                Some(endpoint) => places.remote.push((name.clone(), endpoint.clone())),
                None => homeless.push(name.as_str()),
            },
        }
    }
    if let Some(first) = homeless.first() {
        bail!(
            "no endpoint is known for {}: add `endpoint: grpc://host:port` in the configuration \
             or pass --endpoint {first}=grpc://host:port (or use `motet up`, which runs models \
             itself)",
            list_of(&homeless)
        );
    }
    if places.local.is_empty() && matches!(options.role, Role::Serve(_)) {
        bail!("the configuration has no model that can be served here");
    }
    Ok(places)
}

/// Refuses names that a command line gives to something that there is not.
fn known_name(given: &[String], names: &[&str], what: &str) -> anyhow::Result<()> {
    let Some(unknown) = given.iter().find(|name| !names.contains(&name.as_str())) else {
        return Ok(());
    };
    let hint = match nearest(unknown, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are: {}", list_of(names)),
    };
    bail!("the configuration has no {what} `{unknown}`; {hint}");
}

/// Asks a server about one of its services, until it answers or `wait` has passed.
async fn describe(
    remote: &Remote,
    service: &str,
    wait: Duration,
) -> Result<ServiceDescriptor, NoService> {
    let until = Instant::now() + wait;
    let mut told = false;
    loop {
        match remote.describe(service, SIGNATURE_TIMEOUT).await {
            Err(ReflectError::Status(error))
                if Instant::now() + RETRY_PAUSE < until && may_come(&error) =>
            {
                if !told {
                    tracing::info!("waiting: {}", error.message());
                    told = true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            answer => return answer.map_err(NoService::from),
        }
    }
}

/// Asks a model service what its model takes and gives, until it answers or `wait` has passed.
async fn wait_for(
    backend: &Backend,
    wait: Duration,
) -> anyhow::Result<motet_proto::signature::Signature> {
    let until = Instant::now() + wait;
    let mut told = false;
    loop {
        match backend.signature(SIGNATURE_TIMEOUT).await {
            Ok((signature, _)) => return Ok(signature),
            Err(error) if Instant::now() + RETRY_PAUSE < until && may_come(&error) => {
                if !told {
                    tracing::info!("waiting: {}", error.message());
                    told = true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(anyhow!("{}", error.message())),
        }
    }
}

/// Whether an error may go away by itself: the service is not up yet.
fn may_come(error: &tonic::Status) -> bool {
    matches!(
        error.code(),
        tonic::Code::Unavailable | tonic::Code::DeadlineExceeded
    )
}
