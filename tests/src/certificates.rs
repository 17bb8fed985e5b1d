//! Certificates, made as the tests run, and connections that trust them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// Makes an authority of its own.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = common_name(name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Returns its certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a certificate for a server with these host names or addresses.
    pub fn server(&self, hosts: &[&str]) -> Pair {
        self.sign(server_params(hosts))
    }

    /// Signs one that has expired.
    pub fn expired(&self, hosts: &[&str]) -> Pair {
        let mut params = server_params(hosts);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign(params)
    }

    /// Signs a certificate for a client with this URI and common name.
    pub fn client(&self, uri: &str, name: &str) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        let uri = uri.try_into().expect("a URI in ASCII");
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.distinguished_name = common_name(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Returns what a client speaks TLS with that trusts this authority.
    ///
    /// # Panics
    /// If `identity` is no certificate with its key.
    pub fn client_config(&self, identity: Option<&Pair>, protocols: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let pem = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        roots.add(pem).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let (cert, key) = pair.parsed();
                let config = builder.with_client_auth_cert(vec![cert], key);
                config.expect("a key that fits")
            }
        };
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }
}

impl Authority {
    /// Returns what a server speaks TLS with that shows `identity`, and asks clients for a
    /// certificate of this authority.
    ///
    /// # Panics
    /// If `identity` is no certificate with its key.
    pub fn server_config(&self, identity: &Pair, protocols: &[&str]) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        let pem = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        roots.add(pem).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let (cert, key) = identity.parsed();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_client_cert_verifier(clients.build().expect("an authority"))
            .with_single_cert(vec![cert], key)
            .expect("a key that fits");
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }
}

impl Pair {
    fn parsed(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let cert = CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        (cert, key)
    }

    /// Returns what a server speaks HTTP/1.1 over TLS with that shows it, and asks clients for none.
    ///
    /// # Panics
    /// If it is no certificate with its key.
    pub fn server_config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (cert, key) = self.parsed();
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .expect("a key that fits")
    }

    /// Returns the certificate in DER.
    ///
    /// # Panics
    /// If it is none.
    pub fn der(&self) -> Vec<u8> {
        self.parsed().0.to_vec()
    }

    /// Writes `tls.crt` and `tls.key` into a folder, each at once, as `mv` does, and returns their
    /// paths.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        std::fs::create_dir_all(folder).expect("the folder can be made");
        let write = |name: &str, text: &str| {
            let (path, next) = (folder.join(name), folder.join(format!("{name}.next")));
            std::fs::write(&next, text).expect("the folder can be written to");
            private(&next);
            std::fs::rename(&next, &path).expect("the folder can be written to");
            path
        };
        (write("tls.crt", &self.cert), write("tls.key", &self.key))
    }
}

/// Lets nobody but the owner read a file.
#[cfg(unix)]
fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("the file is ours");
}

#[cfg(not(unix))]
fn private(_: &Path) {}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn server_params(hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("hosts");
    params.distinguished_name = common_name("motet");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// Makes a TLS connection to a server that it expects to be `host`.
///
/// # Errors
/// Those of the handshake.
///
/// # Panics
/// If nothing answers at the address.
pub async fn connect(
    address: SocketAddr,
    host: &str,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true)?;
    let host = ServerName::try_from(host.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(host, stream)
        .await
}
