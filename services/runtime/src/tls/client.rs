//! TLS to one server.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::file::TlsFile;
use super::pem::{self, Identity};
use super::problem::TlsProblem;
use super::server::H2;
use crate::config::ClientTlsSpec;

/// TLS to one server: files, as they are when a connection is made.
#[derive(Clone)]
pub struct ClientTls(Arc<Inner>);

struct Inner {
    spec: ClientTlsSpec,
    provider: Arc<CryptoProvider>,
    current: Mutex<Option<Current>>,
}

/// The configuration of one state of the files.
struct Current {
    fingerprint: u64,
    config: Arc<ClientConfig>,
    /// The state that cannot be used and was told of.
    told: Option<u64>,
}

/// The contents of the files, or why one has none.
struct Files<'s> {
    spec: &'s ClientTlsSpec,
    ca: Option<Result<Vec<u8>, TlsProblem>>,
    identity: Option<[Result<Vec<u8>, TlsProblem>; 2]>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.0.spec).finish()
    }
}

impl ClientTls {
    /// Speaks TLS as `spec` says. No file is read yet.
    pub fn new(spec: &ClientTlsSpec) -> Self {
        Self(Arc::new(Inner {
            spec: spec.clone(),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            current: Mutex::default(),
        }))
    }

    /// Returns every problem of the files.
    pub fn check(spec: &ClientTlsSpec) -> Vec<TlsProblem> {
        let tls = Self::new(spec);
        tls.load(Files::read(spec)).err().unwrap_or_default()
    }

    /// The name that the server's certificate must have, if it is not the host's.
    pub fn server_name(&self) -> Option<&str> {
        self.0.spec.server_name.as_deref()
    }

    /// The configuration for a connection that is made now: of the files as they are, or, where
    /// these cannot be used, as they were when they last could. Blocks.
    ///
    /// # Errors
    /// When the files never could be used.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TlsProblem> {
        let files = Files::read(&self.0.spec);
        let fingerprint = files.fingerprint();
        let mut current = self
            .0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = &*current
            && current.fingerprint == fingerprint
        {
            return Ok(current.config.clone());
        }
        match (self.load(files), &mut *current) {
            (Ok(config), current) => {
                let config = Arc::new(config);
                *current = Some(Current {
                    fingerprint,
                    config: config.clone(),
                    told: None,
                });
                Ok(config)
            }
            (Err(problems), Some(current)) => {
                if current.told != Some(fingerprint)
                    && let Some(problem) = problems.first()
                {
                    tracing::error!(
                        %problem,
                        "TLS files changed but cannot be used: those from before stay in use"
                    );
                    current.told = Some(fingerprint);
                }
                Ok(current.config.clone())
            }
            (Err(mut problems), None) => Err(problems.swap_remove(0)),
        }
    }

    /// The configuration for a connection of another protocol than HTTP/2, as of
    /// `config`. Blocks.
    ///
    /// # Errors
    /// As those.
    pub fn plain_config(&self) -> Result<ClientConfig, TlsProblem> {
        let mut config = ClientConfig::clone(&*self.config()?);
        config.alpn_protocols.clear();
        Ok(config)
    }

    /// Makes of the files what is in them.
    ///
    /// # Errors
    /// With every problem, at least one.
    fn load(&self, files: Files<'_>) -> Result<ClientConfig, Vec<TlsProblem>> {
        let (spec, provider) = (files.spec, &self.0.provider);
        let mut problems = Vec::new();
        let mut keep = |problem| problems.push(problem);
        let roots = match (files.ca, ca(spec)) {
            (Some(bytes), Some(file)) => bytes.and_then(|bytes| pem::authorities(file, &bytes)),
            _ => system_roots(),
        };
        let roots = roots.map_err(&mut keep).ok();
        let identity = match (files.identity, identity(spec)) {
            (Some([Ok(cert), Ok(key)]), Some([cert_file, key_file])) => {
                let (cert, key) = ((cert_file, &cert[..]), (key_file, &key[..]));
                let identity = Identity::new(cert, key, provider, SystemTime::now());
                identity.map_err(&mut keep).ok()
            }
            (Some(read), _) => {
                read.into_iter().filter_map(Result::err).for_each(keep);
                None
            }
            _ => None,
        };
        let (Some(roots), true) = (roots, problems.is_empty()) else {
            return Err(problems);
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12]);
        let builder = builder.map_err(|error| vec![of_system(error.to_string())])?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(identity.resolver())),
        };
        config.alpn_protocols = vec![H2.to_vec()];
        Ok(config)
    }
}

impl<'s> Files<'s> {
    fn read(spec: &'s ClientTlsSpec) -> Self {
        let identity = identity(spec);
        Self {
            spec,
            ca: ca(spec).map(pem::read),
            identity: identity.map(|[cert, key]| [pem::read(cert), pem::read_secret(key)]),
        }
    }

    /// Returns a number that is another one when the files are.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for contents in self.ca.iter().chain(self.identity.iter().flatten()) {
            let contents = contents.as_ref().map_err(|problem| &problem.reason);
            contents.hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn ca(spec: &ClientTlsSpec) -> Option<TlsFile<'_>> {
    let path = spec.ca.as_ref()?;
    Some(TlsFile { key: "ca", path })
}

fn identity(spec: &ClientTlsSpec) -> Option<[TlsFile<'_>; 2]> {
    let (cert, key) = spec.identity.as_ref()?;
    let file = |key, path| TlsFile { key, path };
    Some([file("cert", cert.as_path()), file("key", key.as_path())])
}

/// Returns the problem of a system that is not made for TLS.
fn of_system(reason: String) -> TlsProblem {
    TlsProblem {
        key: "ca",
        path: "of this system".into(),
        reason,
        help: Some("name a file of authorities with `ca`".to_owned()),
    }
}

/// Returns the authorities that this system trusts.
fn system_roots() -> Result<Arc<RootCertStore>, TlsProblem> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(of_system("has no certificates of authorities".to_owned())),
        false => Ok(Arc::new(roots)),
    }
}
