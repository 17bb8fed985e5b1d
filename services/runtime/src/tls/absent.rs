//! A build without TLS: the types of ports that speak it, without a value.

use std::path::PathBuf;

use crate::config::{ClientTlsSpec, TlsSpec};
use crate::metrics::TlsMetrics;
use crate::serve::Protocol;

use super::TlsProblem;

/// TLS of a process' ports. There is none in this build.
#[derive(Clone, Debug)]
pub enum ServerTls {}

/// TLS of one port. There is none in this build.
#[derive(Clone, Debug)]
pub enum PortTls {}

/// TLS to one server. There is none in this build.
#[derive(Clone, Debug)]
pub enum ClientTls {}

impl ClientTls {
    /// Returns that this build has no TLS.
    pub fn check(spec: &ClientTlsSpec) -> Vec<TlsProblem> {
        let path = spec.ca.clone();
        vec![absent(
            "ca",
            path.unwrap_or_else(|| "of this system".into()),
        )]
    }
}

/// Returns the problem of a file for a build without TLS.
fn absent(key: &'static str, path: PathBuf) -> TlsProblem {
    TlsProblem {
        key,
        path,
        reason: "is of no use: this build of motet has no TLS".to_owned(),
        help: Some("build it with the Cargo feature `tls`".to_owned()),
    }
}

impl ServerTls {
    /// Finds that this build has no TLS.
    ///
    /// # Errors
    /// Always.
    pub fn load(spec: &TlsSpec, _: Option<TlsMetrics>) -> Result<Self, Vec<TlsProblem>> {
        Err(Self::check(spec))
    }

    /// Returns that this build has no TLS.
    pub fn check(spec: &TlsSpec) -> Vec<TlsProblem> {
        vec![absent("cert", spec.cert.value.clone())]
    }

    /// Returns the TLS of a port.
    pub fn port(&self, _: Protocol, _: bool) -> PortTls {
        match *self {}
    }

    /// Looks at the files for as long as the process runs.
    pub async fn watch(self) {
        match self {}
    }
}
