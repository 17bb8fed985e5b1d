//! TLS by rustls, with ring.

use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_otlp::WithTonicConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

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
        .with_root_certificates(match &tls {
            Some(tls) => tls.roots()?,
            None => RootCertStore::empty(),
        });
    let config = match tls.and_then(|tls| tls.identity) {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = parsed(&cert)?;
            let key = PrivateKeyDer::from_pem_slice(&key);
            let key = key.map_err(|error| TelemetryError::Tls(error.to_string()))?;
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(|error| TelemetryError::Tls(error.to_string()))?
        }
    };
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build())
}

/// OTLP over gRPC, with TLS where there is one.
pub(in crate::telemetry) fn of_grpc<B: WithTonicConfig>(builder: B, tls: Option<Tls>) -> B {
    let Some(Tls {
        certificates,
        identity,
    }) = tls
    else {
        return builder;
    };
    let config = ClientTlsConfig::new();
    let config = match certificates {
        None => config.with_native_roots(),
        Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
    };
    builder.with_tls_config(match identity {
        None => config,
        Some((cert, key)) => config.identity(Identity::from_pem(cert, key)),
    })
}

fn parsed(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TelemetryError> {
    let parsed = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    parsed.map_err(|error| TelemetryError::Tls(error.to_string()))
}

impl Tls {
    fn roots(&self) -> Result<RootCertStore, TelemetryError> {
        let mut roots = RootCertStore::empty();
        let certificates = match &self.certificates {
            Some(pem) => parsed(pem)?,
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
