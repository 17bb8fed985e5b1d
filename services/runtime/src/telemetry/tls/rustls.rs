//! TLS by rustls, with ring.

use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_otlp::WithTonicConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig};

use super::Tls;
use crate::telemetry::TelemetryError;

pub(in crate::telemetry) type Connector = HttpsConnector<HttpConnector>;

/// Connects with TLS where the endpoint asks for it.
///
/// # Errors
/// When there are no certificates to trust.
pub(in crate::telemetry) fn connector(tls: Option<Tls>) -> Result<Connector, TelemetryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TelemetryError::Tls(error.to_string()))?
        .with_root_certificates(match tls {
            Some(tls) => tls.roots()?,
            None => RootCertStore::empty(),
        })
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build())
}

/// OTLP over gRPC, with TLS where there is one.
pub(in crate::telemetry) fn of_grpc<B: WithTonicConfig>(builder: B, tls: Option<Tls>) -> B {
    let config = ClientTlsConfig::new();
    match tls {
        None => builder,
        Some(Tls { certificates: None }) => builder.with_tls_config(config.with_native_roots()),
        Some(Tls {
            certificates: Some(pem),
        }) => builder.with_tls_config(config.ca_certificate(Certificate::from_pem(pem))),
    }
}

impl Tls {
    fn roots(self) -> Result<RootCertStore, TelemetryError> {
        let mut roots = RootCertStore::empty();
        let certificates = match self.certificates {
            Some(pem) => CertificateDer::pem_slice_iter(&pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| TelemetryError::Tls(error.to_string()))?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        roots.add_parsable_certificates(certificates);
        match roots.is_empty() {
            true => Err(TelemetryError::Tls(
                "there are no certificates to trust".to_owned(),
            )),
            false => Ok(roots),
        }
    }
}
