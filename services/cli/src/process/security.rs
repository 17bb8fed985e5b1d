//! TLS of the ports of a process, and their exposure to strangers.

use anyhow::bail;
use motet_runtime::config::{Exposure, Port, ServerSpec};
use motet_runtime::metrics::Metrics;
use motet_runtime::serve::Protocol;
use motet_runtime::tls::{PortTls, ServerTls};
use tokio_util::sync::CancellationToken;

/// TLS of the ports of a process.
pub(super) struct Security {
    tls: Option<ServerTls>,
    /// `false` if the HTTP port asks nobody for a certificate.
    http_asks: bool,
}

impl Security {
    /// Reads the files of TLS. Ports that strangers may reach are refused, or, where that is
    /// wanted, told.
    ///
    /// # Errors
    /// When a file cannot be used, or a port is refused.
    pub(super) fn new(server: &ServerSpec, metrics: &Metrics) -> anyhow::Result<Self> {
        Self::of_ports(server, &server.ports(), metrics)
    }

    /// As [`new`](Self::new), for a process that has the HTTP port alone.
    ///
    /// # Errors
    /// As those.
    pub(super) fn of_http(server: &ServerSpec, metrics: &Metrics) -> anyhow::Result<Self> {
        let mut ports = server.ports();
        ports.retain(|port| Some(port.address) == server.http);
        Self::of_ports(server, &ports, metrics)
    }

    fn of_ports(server: &ServerSpec, ports: &[Port], metrics: &Metrics) -> anyhow::Result<Self> {
        if let Some(refusal) = ports.iter().find_map(Port::refusal) {
            bail!(refusal);
        }
        for port in ports {
            let exposure = port.exposure();
            if let Exposure::Open(lack) = exposure {
                let (name, address) = (port.name, port.address);
                tracing::warn!("INSECURE: `{name}` listens on {address} {}", lack.words());
            }
            let is_open = matches!(exposure, Exposure::Open(_));
            metrics.server().insecure(port.name, is_open);
        }
        let tls = server.tls.as_ref();
        let tls = tls.map(|spec| ServerTls::load(spec, Some(metrics.tls("server"))));
        let tls = tls.transpose().map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("`server.tls`: {}", problems.join("\n"))
        })?;
        Ok(Self {
            tls,
            http_asks: !server.insecure.covers_http(),
        })
    }

    /// Returns the TLS of the port of this protocol.
    pub(super) fn port(&self, protocol: Protocol) -> Option<PortTls> {
        let tls = self.tls.as_ref()?;
        Some(tls.port(protocol, self.http_asks))
    }

    /// Looks at the files of TLS until `shutdown`.
    pub(super) fn watch(&self, shutdown: &CancellationToken) {
        if let Some(tls) = self.tls.clone() {
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(tls.watch()));
        }
    }
}
