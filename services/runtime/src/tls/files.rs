//! The files of a process' ports, as they are at a moment.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;

use super::file::TlsFile;
use super::pem::{self, Identity};
use super::problem::TlsProblem;
use crate::config::TlsSpec;

/// The contents of the files, or why one has none.
pub(super) struct Files<'s> {
    spec: &'s TlsSpec,
    cert: Result<Vec<u8>, TlsProblem>,
    key: Result<Vec<u8>, TlsProblem>,
    client_ca: Option<Result<Vec<u8>, TlsProblem>>,
}

/// Contents of the files.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) identity: Identity,
    pub(super) clients: Option<Arc<RootCertStore>>,
}

fn cert(spec: &TlsSpec) -> TlsFile<'_> {
    TlsFile {
        key: "cert",
        path: &spec.cert.value,
    }
}

fn key(spec: &TlsSpec) -> TlsFile<'_> {
    TlsFile {
        key: "key",
        path: &spec.key.value,
    }
}

impl<'s> Files<'s> {
    /// Reads the files.
    pub(super) fn read(spec: &'s TlsSpec) -> Self {
        Self {
            spec,
            cert: pem::read(cert(spec)),
            key: pem::read_secret(key(spec)),
            client_ca: client_ca(spec).map(pem::read),
        }
    }

    /// Returns a number that is another one when the files are.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let all = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        for contents in all.into_iter().flatten() {
            let contents = contents.as_ref().map_err(|problem| &problem.reason);
            contents.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Makes of the files what is in them.
    ///
    /// # Errors
    /// With every problem.
    pub(super) fn load(
        self,
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Loaded, Vec<TlsProblem>> {
        let spec = self.spec;
        let mut problems = Vec::new();
        let mut keep = |problem| problems.push(problem);
        let (cert_bytes, key_bytes) = (self.cert.map_err(&mut keep), self.key.map_err(&mut keep));
        let identity = match (&cert_bytes, &key_bytes) {
            (Ok(cert_bytes), Ok(key_bytes)) => {
                let (cert, key) = ((cert(spec), &cert_bytes[..]), (key(spec), &key_bytes[..]));
                let identity = Identity::new(cert, key, provider, now);
                let identity = identity.and_then(|found| with_host(spec, found));
                identity.map_err(&mut keep).ok()
            }
            _ => None,
        };
        let clients = match (self.client_ca, client_ca(spec)) {
            (Some(bytes), Some(file)) => {
                let store = bytes.and_then(|bytes| pem::authorities(file, &bytes));
                store.map_err(&mut keep).ok()
            }
            _ => None,
        };
        match identity {
            Some(identity) if problems.is_empty() => Ok(Loaded { identity, clients }),
            _ => Err(problems),
        }
    }
}

fn client_ca(spec: &TlsSpec) -> Option<TlsFile<'_>> {
    let path = &spec.client_ca.as_ref()?.value;
    let key = "client_ca";
    Some(TlsFile { key, path })
}

/// Refuses a certificate by which no client can tell whose it is: neither a host nor a URI is in
/// it. Today's clients do not look at the common name.
fn with_host(spec: &TlsSpec, identity: Identity) -> Result<Identity, TlsProblem> {
    let has_uri = |name: &super::PeerName| matches!(name, super::PeerName::Uri(_));
    if identity.contents.has_host() || identity.contents.names.iter().any(has_uri) {
        return Ok(identity);
    }
    let help = "make it with subject alternative names (`-addext subjectAltName=DNS:host`): \
                clients do not look at the common name";
    Err(cert(spec).problem("names no host").help(help))
}
