//! TLS of a process' ports.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::files::{Files, Loaded};
use super::problem::TlsProblem;
use crate::config::{ClientAuth, TlsSpec};
use crate::metrics::TlsMetrics;
use crate::serve::Protocol;

/// Protocols inside TLS.
pub(super) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// The certificate, key and authorities with which a process' ports speak TLS, as their files are
/// now. Clones share them.
#[derive(Clone)]
pub struct ServerTls(Arc<Inner>);

pub(super) struct Inner {
    pub(super) spec: TlsSpec,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<Configs>,
    pub(super) metrics: Option<TlsMetrics>,
}

/// Configurations of one state of the files, by port.
struct Configs {
    fingerprint: u64,
    grpc: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    /// For an HTTP port that asks nobody for a certificate.
    open_http: Arc<ServerConfig>,
}

/// TLS of one port.
#[derive(Clone)]
pub struct PortTls {
    server: ServerTls,
    protocol: Protocol,
    asks_clients: bool,
}

/// Outcome of a look at the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The files are as before.
    Same,
    /// They are others, which are used from now on.
    Renewed,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.0.spec).finish()
    }
}

impl fmt::Debug for PortTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// With every problem of them.
    pub fn load(spec: &TlsSpec, metrics: Option<TlsMetrics>) -> Result<Self, Vec<TlsProblem>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let files = Files::read(spec);
        let fingerprint = files.fingerprint();
        let loaded = files.load(&provider, SystemTime::now())?;
        let configs = Configs::new(spec, fingerprint, &loaded, &provider);
        let tls = Self(Arc::new(Inner {
            spec: spec.clone(),
            current: ArcSwap::from_pointee(configs.map_err(|problem| vec![problem])?),
            provider,
            metrics,
        }));
        tls.record_expiry(&loaded);
        Ok(tls)
    }

    /// Returns every problem of the files.
    pub fn check(spec: &TlsSpec) -> Vec<TlsProblem> {
        Self::load(spec, None).err().unwrap_or_default()
    }

    /// Returns the TLS of a port. `asks_clients` is `false` for a port for everybody, whatever
    /// the others ask of clients; a gRPC port always asks.
    pub fn port(&self, protocol: Protocol, asks_clients: bool) -> PortTls {
        PortTls {
            server: self.clone(),
            protocol,
            asks_clients,
        }
    }

    /// Looks at the files for as long as the process runs: every few seconds, and at once on
    /// SIGHUP. Connections go on with what they began with.
    pub async fn watch(self) {
        super::watch::watch(self).await;
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Reads the files again, and uses them if they are others. Blocks.
    ///
    /// # Errors
    /// The first problem of them. Then what was used so far still is.
    pub(super) fn look(&self) -> Result<Look, TlsProblem> {
        let inner = &*self.0;
        let files = Files::read(&inner.spec);
        let fingerprint = files.fingerprint();
        if fingerprint == inner.current.load().fingerprint {
            return Ok(Look::Same);
        }
        let loaded = files.load(&inner.provider, SystemTime::now());
        let loaded = loaded.map_err(|problems| problems.into_iter().next());
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(Some(problem)) => return Err(problem),
            // There is no error without a problem.
            Err(None) => return Ok(Look::Same),
        };
        let configs = Configs::new(&inner.spec, fingerprint, &loaded, &inner.provider)?;
        inner.current.store(Arc::new(configs));
        self.record_expiry(&loaded);
        Ok(Look::Renewed)
    }

    fn record_expiry(&self, loaded: &Loaded) {
        if let Some(metrics) = &self.0.metrics {
            metrics.expires(loaded.identity.contents.not_after);
        }
    }
}

impl PortTls {
    /// The configuration for a handshake that begins now.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let configs = self.server.0.current.load();
        match (self.protocol, self.asks_clients) {
            (Protocol::Grpc, _) => configs.grpc.clone(),
            (Protocol::Http, true) => configs.http.clone(),
            (Protocol::Http, false) => configs.open_http.clone(),
        }
    }
}

impl Configs {
    fn new(
        spec: &TlsSpec,
        fingerprint: u64,
        loaded: &Loaded,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsProblem> {
        let clients = loaded
            .clients
            .as_ref()
            .map(|store| (store, spec.client_auth));
        let config = |clients, protocols| {
            let config = server_config(loaded, clients, protocols, provider);
            config.map(Arc::new).map_err(|reason| TlsProblem {
                key: "client_ca",
                path: spec.client_ca.as_ref().unwrap_or(&spec.cert).value.clone(),
                reason: format!("cannot be used: {reason}"),
                help: None,
            })
        };
        Ok(Self {
            fingerprint,
            grpc: config(clients, &[H2])?,
            http: config(clients, &[H2, HTTP_1_1])?,
            open_http: config(None, &[H2, HTTP_1_1])?,
        })
    }
}

fn server_config(
    loaded: &Loaded,
    clients: Option<(&Arc<RootCertStore>, ClientAuth)>,
    protocols: &[&[u8]],
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, String> {
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| error.to_string())?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some((store, auth)) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(store.clone(), provider.clone());
            let verifier = match auth {
                ClientAuth::Required => verifier,
                ClientAuth::Optional => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|error| error.to_string())?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(loaded.identity.resolver()));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    if clients.is_some() {
        // A session that is resumed does not show its certificate again, which may have expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}
