//! The ports of a process.

use std::net::SocketAddr;
use std::time::Duration;

use motet_runtime::config::{AdminSpec, Exposure, ServerSpec};
use motet_runtime::forward::ForwardLayer;
use motet_runtime::heap;
use motet_runtime::http::HttpState;
use motet_runtime::layers::{self, Guards, Layered};
use motet_runtime::limits::Admission;
use motet_runtime::listener::ListenerServices;
use motet_runtime::serve::{
    Drained, Protocol, ServeOptions, Server, default_max_bytes_in_flight, raise_descriptor_limit,
    reachable_connections,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Running;
use super::guards::ProcessGuards;
use super::security::Security;
use super::startup::{Instruments, Served};
use crate::args::{HttpAddress, ListenArgs};
use crate::client::Client;
use crate::server::LocalChannel;

/// Bound ports. Liveness, readiness and metrics are served from here on.
pub(super) struct Ports {
    grpc: Server,
    /// The listener of its own that changes the server, if there is one.
    admin: Option<(Server, ListenerServices)>,
    guards: ProcessGuards,
    http: Option<(SocketAddr, JoinHandle<Drained>)>,
    http_shutdown: CancellationToken,
    server: ServerSpec,
    admission: Admission,
    instruments: Instruments,
}

impl Ports {
    /// Binds the ports of the file, or those of the flags.
    pub(super) async fn bind(
        file: &ServerSpec,
        flags: &ListenArgs,
        instruments: &Instruments,
    ) -> anyhow::Result<Self> {
        let server = server_spec(file, flags);
        let http_shutdown = CancellationToken::new();
        let security = Security::new(&server, &instruments.metrics)?;
        let (grpc_options, http_options) = serve_options(&server);
        let guards = ProcessGuards::new(&server, &instruments.metrics).await?;
        let admin = bind_admin(&server, &grpc_options).await?;
        let admin = admin.map(|(bound, services)| {
            let bound = bound.with_metrics(instruments.metrics.server());
            (bound.with_tls(security.port(Protocol::Grpc)), services)
        });
        let grpc = Server::bind(server.grpc, grpc_options).await?;
        let http = match server.http {
            Some(address) => Some(Server::bind(address, http_options).await?),
            None => None,
        };
        let grpc = grpc
            .with_metrics(instruments.metrics.server())
            .with_tls(security.port(Protocol::Grpc))
            .with_http_port(http.as_ref().map(Server::local_addr));
        let http = http.map(|server| {
            let server = server.with_tls(security.port(Protocol::Http));
            serve_http(server, file, &guards, instruments, &http_shutdown)
        });
        security.watch(&http_shutdown);
        guards.watch(&http_shutdown);
        Ok(Self {
            grpc,
            admin,
            guards,
            http,
            http_shutdown,
            admission: admission(&server),
            server,
            instruments: instruments.clone(),
        })
    }

    /// Returns a client of what is served, within the process: its calls are admitted with those
    /// of the ports.
    pub(super) fn local_client(&self, served: &Served) -> Client {
        let stack = layers::stack(
            served.routes.clone(),
            Guards::default(),
            self.admission.clone(),
            &self.instruments.metrics,
            self.server.max_message_bytes,
        );
        LocalChannel::new(stack).into()
    }

    /// Accepts calls on the gRPC port.
    pub(super) fn serve(self, served: &Served) -> Running {
        let Instruments { health, metrics } = self.instruments;
        let message_bytes_max = self.server.max_message_bytes;
        let admission = self.admission;
        let forward = ForwardLayer::new(served.forwarded.clone());
        let stack = |services| {
            let (routes, guards) = (served.routes.clone(), self.guards.of(services));
            let stack = layers::stack(
                routes,
                guards,
                admission.clone(),
                &metrics,
                message_bytes_max,
            );
            Layered::new(forward.clone(), stack)
        };
        let shutdown = CancellationToken::new();
        let address = self.grpc.local_addr();
        let services = self.server.grpc_services();
        let grpc_server = self.grpc.spawn(stack(services), shutdown.clone());
        let admin = self.admin.map(|(server, services)| {
            let address = server.local_addr();
            (address, server.spawn(stack(services), shutdown.clone()))
        });
        let (admin, admin_server) = admin.unzip();
        tokio::spawn(heap::give_back(shutdown.clone()));
        let (http, http_server) = self.http.unzip();
        Running {
            grpc: address,
            admin,
            http,
            overview: served.overview.clone(),
            health,
            shutdown,
            grpc_server,
            admin_server,
            http_server,
            http_shutdown: self.http_shutdown,
            grace: self.server.grace,
            streams: None,
            models: Some(served.models.clone()),
            metrics,
        }
    }
}

/// Serves metrics and health.
fn serve_http(
    server: Server,
    file: &ServerSpec,
    guards: &ProcessGuards,
    instruments: &Instruments,
    shutdown: &CancellationToken,
) -> (SocketAddr, JoinHandle<Drained>) {
    let state = HttpState {
        health: instruments.health.clone(),
        metrics: instruments.metrics.clone(),
        services: file.http_services,
        auth: guards.auth(),
    };
    let router = motet_runtime::http::router(state);
    let address = server.local_addr();
    (address, server.spawn(router, shutdown.clone()))
}

/// The HTTP port of a process that has no other.
pub(crate) struct HttpPort {
    /// Its address, if there is one.
    pub(crate) address: Option<SocketAddr>,
    /// Its exposure to strangers.
    pub(crate) exposure: Option<Exposure>,
    /// Time that a drain may take.
    pub(crate) grace: Duration,
    served: Option<JoinHandle<Drained>>,
    shutdown: CancellationToken,
}

impl HttpPort {
    /// Serves metrics and health at the address of the file, or of the flags.
    pub(crate) async fn serve(
        file: &ServerSpec,
        flags: &ListenArgs,
        instruments: &Instruments,
    ) -> anyhow::Result<Self> {
        let server = server_spec(file, flags);
        let shutdown = CancellationToken::new();
        let security = Security::of_http(&server, &instruments.metrics)?;
        let guards = ProcessGuards::new(&server, &instruments.metrics).await?;
        let (_, options) = serve_options(&server);
        let served = match server.http {
            Some(address) => {
                let bound = Server::bind(address, options).await?;
                let bound = bound.with_tls(security.port(Protocol::Http));
                Some(serve_http(bound, file, &guards, instruments, &shutdown))
            }
            None => None,
        };
        security.watch(&shutdown);
        guards.watch(&shutdown);
        let (address, served) = served.unzip();
        let mut ports = server.ports().into_iter();
        let port = ports.find(|port| Some(port.address) == server.http);
        Ok(Self {
            address,
            exposure: port.map(|port| port.exposure()),
            grace: server.grace,
            served,
            shutdown,
        })
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        if let Some(served) = self.served {
            // A panic in one of its requests was logged where it happened.
            let _ = served.await;
        }
    }
}

/// Binds the listener that changes the server, where it has one of its own. The one that no file
/// states may be another process's already: the server cannot be changed then.
async fn bind_admin(
    server: &ServerSpec,
    options: &ServeOptions,
) -> anyhow::Result<Option<(Server, ListenerServices)>> {
    let Some((address, services)) = server.admin_listener() else {
        return Ok(None);
    };
    match Server::bind(address, options.clone()).await {
        Ok(bound) => Ok(Some((bound, services))),
        Err(error) if server.admin == AdminSpec::Unstated => {
            tracing::warn!(
                %error,
                "the server cannot be changed while it runs: state another address by \
                 `server.admin`, or `admin: off`"
            );
            Ok(None)
        }
        Err(error) => Err(error.into()),
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
    if let Some(insecure) = flags.insecure {
        spec.insecure = insecure;
    }
    if let Some(grace) = flags.grace {
        spec.grace = grace;
    }
    spec
}

/// Returns how many calls the server admits.
pub(crate) fn admission(server: &ServerSpec) -> Admission {
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
