//! A build without TLS: the types of ports that speak it, without a value.

use crate::config::TlsSpec;
use crate::metrics::TlsMetrics;
use crate::serve::Protocol;

use super::TlsProblem;

/// What ports speak TLS with. There is none in this build.
#[derive(Clone, Debug)]
pub enum ServerTls {}

/// What one port speaks TLS with. There is none in this build.
#[derive(Clone, Debug)]
pub enum PortTls {}

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
        vec![TlsProblem {
            key: "cert",
            path: spec.cert.value.clone(),
            reason: "is of no use: this build of motet has no TLS".to_owned(),
            help: Some("build it with the Cargo feature `tls`".to_owned()),
        }]
    }

    /// What a port speaks TLS with.
    pub fn port(&self, _: Protocol, _: bool) -> PortTls {
        match *self {}
    }

    /// Looks at the files for as long as the process runs.
    pub async fn watch(self) {
        match self {}
    }
}
