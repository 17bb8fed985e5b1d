//! Startup of a process, in phases: read, place, bind, connect, check, load, serve.
//!
//! Steps that are likely to fail come first: the configuration is checked, then the ports
//! are bound, and only then are weights read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use motet_gateway::check::CheckedPipeline;
use motet_gateway::grpc::Endpoints;
use motet_gateway::model::Backend;
use motet_gateway::serve::{Gateway, GatewayParts};
use motet_proto::signature::Signature;
use motet_runtime::config::ServerSpec;
use motet_runtime::health::{Health, OVERALL};
use motet_runtime::heap;
use motet_runtime::http::HttpState;
use motet_runtime::layers;
use motet_runtime::limits::Admission;
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use motet_runtime::serve::{
    Drained, Protocol, ServeOptions, Server, default_max_bytes_in_flight, raise_descriptor_limit,
    reachable_connections,
};
use motet_service::{Loader, ModelServer, ResolvedModel};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Options, Overview, PipelineOverview, Running};
use crate::args::{HttpAddress, ListenArgs};
use crate::configuration::{Configuration, ConfigurationErrors};
use crate::lock::Lock;
use crate::placement::Placement;
use crate::remote_startup;
use crate::signatures::{self, Signatures};

/// Starts a process. It is ready when this returns: every model is loaded and warm. Needs a tokio
/// runtime.
///
/// # Errors
/// [`ConfigurationErrors`], or anything else that prevents the start, in one line.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    let mut startup = Startup::read(options)?;
    let (placement, resolved) = startup.place().await?;
    let ports = startup.bind().await?;
    let remote = startup.connect(&placement, &ports.health).await?;
    let pipelines = startup.check()?;
    let models = load(resolved, &ports).await?;
    startup.serve(ports, models, remote, pipelines).await
}

/// A process that is being started.
struct Startup {
    options: Options,
    configuration: Configuration,
    /// The file's settings of the server, with the flags'.
    server: ServerSpec,
    signatures: Signatures,
}

/// Bound ports and what they show. Liveness, readiness and metrics are served from here on.
struct Ports {
    grpc: Server,
    http: Option<(SocketAddr, JoinHandle<Drained>)>,
    http_shutdown: CancellationToken,
    health: Health,
    metrics: Metrics,
}

/// Clients of servers in other processes.
struct Remote {
    models: Vec<Backend>,
    /// Signatures of those that are not up, as the lock file has them.
    unseen: BTreeMap<String, Signature>,
    /// Until when the process waits for those that it cannot do without.
    deadline: Instant,
    endpoints: Endpoints,
}

impl Startup {
    /// Reads the configuration.
    fn read(options: Options) -> anyhow::Result<Self> {
        let configuration = Configuration::read(&options.files)?;
        Ok(Self {
            server: server_spec(&configuration.config.server, &options.listen),
            signatures: Signatures::default(),
            configuration,
            options,
        })
    }

    /// Decides where each model runs, and resolves those of this process against their files.
    async fn place(&mut self) -> anyhow::Result<(Placement, Vec<ResolvedModel>)> {
        if self.configuration.diagnostics.has_errors() {
            return Err(self.all_errors().await?.into());
        }
        let placement = Placement::for_process(&self.configuration, &self.options)?;
        let resolved = self.configuration.resolve_models(|m| placement.is_local(m));
        let signatures = Signatures::new(self.configuration.served_models()).with_models(&resolved);
        self.signatures = match self.options.role.has_gateway() {
            true => signatures.with_services(self.configuration.schemas()),
            false => signatures,
        };
        if self.configuration.diagnostics.has_errors() {
            return Err(self.all_errors().await?.into());
        }
        Ok((placement, resolved))
    }

    /// Nothing will start: finds every other error that can be found now, so that one run shows
    /// them all. Servers in other processes are asked once.
    async fn all_errors(&mut self) -> anyhow::Result<ConfigurationErrors> {
        let configuration = &mut self.configuration;
        let placement = match self.options.role.has_gateway() {
            true => Placement::for_process(configuration, &self.options).ok(),
            false => None,
        };
        let placement = placement.unwrap_or_else(|| Placement::of_file(configuration));
        let signatures = signatures::discover(configuration, &placement).await?;
        configuration.check(&signatures, true);
        Ok(configuration.errors())
    }

    /// Binds the ports. Liveness and readiness are answered while models load.
    async fn bind(&self) -> anyhow::Result<Ports> {
        let health = Health::new();
        let metrics = Metrics::from_env(self.options.role.service_name())?;
        let http_shutdown = CancellationToken::new();
        let (grpc_options, http_options) = serve_options(&self.server);
        let grpc = Server::bind(self.server.grpc, grpc_options).await?;
        let http = match self.server.http {
            Some(address) => Some(Server::bind(address, http_options).await?),
            None => None,
        };
        let grpc = grpc
            .with_metrics(metrics.server())
            .with_http_port(http.as_ref().map(Server::local_addr));
        let http = http.map(|server| {
            let state = HttpState {
                health: health.clone(),
                metrics: metrics.clone(),
            };
            let router = motet_runtime::http::router(state);
            let address = server.local_addr();
            (address, server.spawn(router, http_shutdown.clone()))
        });
        Ok(Ports {
            grpc,
            http,
            http_shutdown,
            health,
            metrics,
        })
    }

    /// Connects to the servers in other processes, and waits until each has stated what its models
    /// and services take and give.
    async fn connect(&mut self, placement: &Placement, health: &Health) -> anyhow::Result<Remote> {
        let message_bytes_max = self.server.max_message_bytes;
        let deadline = Instant::now() + self.options.wait;
        let mut remote = Remote {
            models: placement.connect(message_bytes_max)?,
            unseen: BTreeMap::new(),
            deadline,
            endpoints: placement.endpoints(message_bytes_max),
        };
        if !self.options.role.has_gateway() {
            return Ok(remote);
        }
        let lock = self.configuration.lock_path();
        let lock = lock.map(|path| Lock::read(&path)).transpose()?.flatten();
        let mut locked = lock.unwrap_or_default().models;
        for backend in &remote.models {
            let name = backend.model();
            let signature = match locked.remove(name) {
                None => remote_startup::signature(backend, deadline).await?,
                Some(locked) => match remote_startup::signature_if_up(backend).await? {
                    Some(signature) => signature,
                    None => {
                        tracing::warn!(
                            name,
                            address = backend.address(),
                            "a model is not up: the lock file says what it takes and gives"
                        );
                        remote.unseen.insert(name.to_owned(), locked.clone());
                        locked
                    }
                },
            };
            self.signatures.insert(name, Ok(signature));
            health.set_spared(name, !remote.unseen.contains_key(name));
        }
        let services = self.configuration.called_services();
        for (endpoint, service) in self.signatures.services.to_ask(services) {
            if let Some(remote) = remote.endpoints.get(&endpoint) {
                let answer = remote_startup::service(&remote, &service, deadline).await;
                self.signatures.services.insert(endpoint, service, answer);
            }
        }
        Ok(remote)
    }

    /// Checks the pipelines against the signatures.
    fn check(&mut self) -> anyhow::Result<Vec<CheckedPipeline>> {
        let pipelines = match self.options.role.has_gateway() {
            true => self.configuration.check(&self.signatures, false),
            false => Vec::new(),
        };
        self.configuration.ok()?;
        for warning in self.configuration.diagnostics.sorted() {
            tracing::warn!("{}", warning.message);
        }
        Ok(pipelines)
    }

    /// Serves the models and pipelines, once every pipeline can answer.
    async fn serve(
        self,
        ports: Ports,
        models: ModelServer,
        remote: Remote,
        pipelines: Vec<CheckedPipeline>,
    ) -> anyhow::Result<Running> {
        let Ports {
            grpc,
            http,
            http_shutdown,
            health,
            metrics,
        } = ports;
        let message_bytes_max = self.server.max_message_bytes;
        let overview = Overview {
            local_models: models
                .models()
                .iter()
                .map(|m| m.name().to_owned())
                .collect(),
            remote_models: remote.models.iter().map(|m| m.model().to_owned()).collect(),
            pipelines: pipelines.iter().map(PipelineOverview::of).collect(),
        };
        let routes = if self.options.role.has_gateway() {
            let local = models.local(message_bytes_max);
            let local = models.models().iter().map(|m| {
                Backend::local(m.name(), local.clone(), message_bytes_max)
                    .with_method(models.clone())
            });
            let others = remote.models.clone();
            let gateway = Gateway::new(GatewayParts {
                models: local.chain(remote.models).collect(),
                unseen: remote.unseen,
                signatures: Arc::new(self.signatures),
                endpoints: Arc::new(remote.endpoints),
                pipelines,
                message_bytes_max,
                metrics: metrics.clone(),
                health: health.clone(),
            })?;
            remote_startup::required(&gateway, &others, remote.deadline).await?;
            gateway.routes()
        } else {
            LiveRoutes::new(models.routes(&health, message_bytes_max)?)
        };
        let admission = admission(&self.server);
        let stack = layers::stack(routes, admission, &metrics, message_bytes_max);
        let shutdown = CancellationToken::new();
        let address = grpc.local_addr();
        let grpc_server = grpc.spawn(stack, shutdown.clone());
        tokio::spawn(heap::give_back(shutdown.clone()));
        health.set(OVERALL, true);
        let (http, http_server) = http.unzip();
        Ok(Running {
            grpc: address,
            http,
            overview,
            health,
            shutdown,
            grpc_server,
            http_server,
            http_shutdown,
            models: Some(models),
            metrics,
        })
    }
}

/// Reads the weights of the models of this process, and warms them up.
async fn load(resolved: Vec<ResolvedModel>, ports: &Ports) -> anyhow::Result<ModelServer> {
    let loader = Loader::new(ports.metrics.clone(), ports.health.clone())?;
    Ok(ModelServer::new(loader.load_all(resolved).await?))
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

fn admission(server: &ServerSpec) -> Admission {
    let admission = Admission::new(server.max_concurrent_requests)
        .streams(
            server.max_request_streams,
            server.max_request_streams_per_connection,
        )
        .watches(server.max_watches, server.max_watches_per_connection)
        .reading_within(server.read_timeout);
    match server.max_concurrent_requests_per_connection {
        Some(max) => admission.per_connection(max),
        None => admission,
    }
}

/// Returns the options of the gRPC port and of the HTTP port.
fn serve_options(server: &ServerSpec) -> (ServeOptions, ServeOptions) {
    let descriptors = raise_descriptor_limit();
    let wanted = server.max_connections;
    let [grpc, http] = reachable_connections(wanted, descriptors);
    if let Some(descriptors) = descriptors
        && grpc < wanted
    {
        tracing::warn!(
            descriptors,
            wanted,
            grpc,
            http,
            "the process may have too few file descriptors for `max_connections`: raise the limit \
             (`ulimit -n`, `LimitNOFILE`), or lower the key"
        );
    }
    let options = |protocol, max_connections| ServeOptions {
        protocol,
        max_connections,
        max_concurrent_streams: server.max_concurrent_streams,
        max_bytes_in_flight: server
            .max_bytes_in_flight
            .unwrap_or_else(default_max_bytes_in_flight),
        max_resets_per_second: server.max_resets_per_second,
        write_timeout: server.write_timeout,
        grace: server.grace,
        ..ServeOptions::default()
    };
    (options(Protocol::Grpc, grpc), options(Protocol::Http, http))
}
