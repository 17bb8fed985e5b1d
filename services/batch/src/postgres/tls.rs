//! TLS of connections, by rustls with ring.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Stream;

use super::address::{Address, SslMode};

/// Makes TLS of connections.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

/// One handshake.
pub(super) struct Handshake {
    connector: TlsConnector,
    host: ServerName<'static>,
}

/// A connection with TLS.
pub(super) struct Secured(Stream<Socket>);

impl Tls {
    /// Returns the TLS of an address; `None` if it has none.
    ///
    /// # Errors
    /// A file of certificates or of a key that cannot be used.
    pub(super) fn new(address: &Address) -> Result<Option<Self>, String> {
        if address.ssl == SslMode::Disable {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let known = match address.ssl {
            SslMode::Disable | SslMode::Require => None,
            SslMode::VerifyCa | SslMode::VerifyFull => {
                let issuers = Arc::new(issuers(address.files.issuers.as_deref())?);
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(issuers, provider.clone());
                Some(verifier.build().map_err(|error| error.to_string())?)
            }
        };
        let trust = Arc::new(Trust {
            known,
            has_name: address.ssl == SslMode::VerifyFull,
            provider: provider.clone(),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(trust);
        let config = match &address.files.own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let of_file = |path: &Path, error: String| format!("{}: {error}", path.display());
                let certificates = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| of_file(key, error.to_string()))?;
                let config = config.with_client_auth_cert(certificates, key);
                config.map_err(|error| of_file(certificate, error.to_string()))?
            }
        };
        Ok(Some(Self(TlsConnector::from(Arc::new(config)))))
    }
}

/// Returns the certificates of a file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(|error| format!("{}: {error}", path.display()))?;
    match found.is_empty() {
        true => Err(format!("{} has no certificate", path.display())),
        false => Ok(found),
    }
}

/// Returns the issuers of a file, or of this machine.
fn issuers(path: Option<&Path>) -> Result<RootCertStore, String> {
    let mut issuers = RootCertStore::empty();
    match path {
        Some(path) => {
            for certificate in certificates(path)? {
                let added = issuers.add(certificate);
                added.map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs().certs;
            issuers.add_parsable_certificates(found);
        }
    }
    match issuers.is_empty() {
        true => Err(
            "this machine has no certificates of issuers: name some with \
                     sslrootcert=FILE"
                .to_owned(),
        ),
        false => Ok(issuers),
    }
}

/// Trust in the certificate of a server.
#[derive(Debug)]
struct Trust {
    /// Certificates of known issuers; without it, any.
    known: Option<Arc<WebPkiServerVerifier>>,
    /// It must be for the name of the host, too.
    has_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(known) = &self.known else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified =
            known.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is what is looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.has_name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Secured;
    type TlsConnect = Handshake;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, InvalidDnsNameError> {
        Ok(Handshake {
            connector: self.0.clone(),
            host: ServerName::try_from(domain.to_owned())?,
        })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let connected = self.connector.connect(self.host, stream).await;
            connected.map(Secured)
        })
    }
}

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
