//! TLS to a collector or an issuer, where the Cargo feature `tls` builds it in. Files are read for
//! each connection.

/// `true` if this build has TLS.
pub(super) const IS_BUILT_IN: bool = cfg!(feature = "tls");

#[cfg(not(feature = "tls"))]
mod plain {
    use hyper_util::client::legacy::connect::HttpConnector;
    use opentelemetry_otlp::WithTonicConfig;

    use crate::config::ClientTlsSpec;
    use crate::telemetry::TelemetryError;

    pub(in crate::telemetry) type Connector = HttpConnector;

    /// Returns what connects in plain text.
    pub(in crate::telemetry) fn connector(_: Option<ClientTlsSpec>) -> Connector {
        HttpConnector::new()
    }

    /// Returns the exporter over gRPC, in plain text.
    pub(in crate::telemetry) fn of_grpc<B: WithTonicConfig>(
        builder: B,
        _: Option<(String, ClientTlsSpec)>,
    ) -> Result<B, TelemetryError> {
        Ok(builder)
    }
}

#[cfg(not(feature = "tls"))]
pub(super) use plain::{Connector, connector, of_grpc};

#[cfg(feature = "tls")]
mod rustls;

#[cfg(feature = "tls")]
pub(super) use self::rustls::{Connector, connector, of_grpc};
