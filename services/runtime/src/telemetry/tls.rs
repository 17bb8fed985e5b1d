//! TLS to a collector or an issuer, where the Cargo feature `tls` builds it in.

/// Certificates that are trusted, and the one that is shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Those of a PEM file; `None` for the system's.
    pub(super) certificates: Option<Vec<u8>>,
    /// Certificate and key that are shown to the collector, in PEM.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("has_certificates", &self.certificates.is_some())
            .field("has_identity", &self.identity.is_some())
            .finish()
    }
}

impl Tls {
    /// `true` if this build has TLS.
    pub(super) const IS_BUILT_IN: bool = cfg!(feature = "tls");
}

#[cfg(not(feature = "tls"))]
mod plain {
    use hyper_util::client::legacy::connect::HttpConnector;

    use super::Tls;
    use crate::telemetry::TelemetryError;

    pub(in crate::telemetry) type Connector = HttpConnector;

    pub(in crate::telemetry) fn of_grpc<B>(builder: B, _: Option<Tls>) -> B {
        builder
    }

    pub(in crate::telemetry) fn connector(_: Option<Tls>) -> Result<Connector, TelemetryError> {
        Ok(HttpConnector::new())
    }
}

#[cfg(not(feature = "tls"))]
pub(super) use plain::{Connector, connector, of_grpc};

#[cfg(feature = "tls")]
mod rustls;

#[cfg(feature = "tls")]
pub(super) use self::rustls::{Connector, connector, of_grpc};
