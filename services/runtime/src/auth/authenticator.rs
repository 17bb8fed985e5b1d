//! The authenticator: from the headers of a request, and its connection, to a principal.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::{HeaderMap, header};
use tokio::time::Instant;

use super::api_key::KeyDigest;
use super::keys_file::{KeysEntry, KeysFile, KeysFileError, Rights};
use super::principal::{Credential, Principal};
use super::quota::Quota;
use super::refusal::{Refusal, RefusalLog};
use super::tokens::Tokens;
use crate::config::AuthSpec;
use crate::metrics::ServerMetrics;
use crate::tls::PeerName;

/// Most bytes of a credential.
const CREDENTIAL_BYTES_MAX: usize = 8 << 10;

/// Finds out who calls. Clones share it.
///
/// Files are read again when they change; see [`watch`](Self::watch).
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    keys_path: Option<PathBuf>,
    keys: ArcSwap<Keys>,
    tokens: Option<Tokens>,
    quotas: Quotas,
    log: RefusalLog,
    metrics: ServerMetrics,
}

/// The entries of the keys file, by credential.
#[derive(Default)]
struct Keys {
    by_digest: HashMap<KeyDigest, Arc<Holder>>,
    by_certificate: HashMap<String, Arc<Holder>>,
}

/// An entry of the keys file.
struct Holder {
    name: String,
    rights: Rights,
    expires: Option<SystemTime>,
    /// Usage of its limits, which the file's next version inherits.
    quota: Quota,
}

/// Error of credentials that cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The keys file cannot be used.
    #[error("{0}")]
    Keys(#[from] KeysFileError),
    /// The key set of tokens cannot be used.
    #[error("the key set {source_name} cannot be used: {reason}")]
    KeySet {
        /// The file or URL.
        source_name: String,
        /// The reason.
        reason: String,
    },
}

/// The limits of principals by name, which outlive versions of the keys file.
#[derive(Debug, Default)]
pub(super) struct Quotas(Mutex<HashMap<(Credential, String), Quota>>);

/// Most principals whose usage is remembered.
const QUOTAS_MAX: usize = 16_384;

impl Quotas {
    pub(super) fn of(&self, credential: Credential, name: &str, rights: &Rights) -> Quota {
        let mut quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (credential, name.to_owned());
        if let Some(quota) = quotas.get(&key) {
            quota.set(rights.limits);
            return quota.clone();
        }
        if quotas.len() >= QUOTAS_MAX {
            quotas.retain(|_, quota| quota.is_shared());
        }
        let quota = Quota::new(rights.limits, Instant::now());
        quotas.insert(key, quota.clone());
        quota
    }
}

impl Authenticator {
    /// Reads the files of `spec` and fetches what it names.
    ///
    /// # Errors
    /// When one cannot be used: nobody could call then.
    pub async fn new(spec: &AuthSpec, metrics: ServerMetrics) -> Result<Self, AuthError> {
        let quotas = Quotas::default();
        let keys = match &spec.keys {
            Some(path) => Keys::of(KeysFile::read(path)?, &quotas),
            None => Keys::default(),
        };
        let tokens = match &spec.jwt {
            Some(jwt) => Some(Tokens::new(jwt).await?),
            None => None,
        };
        Ok(Self(Arc::new(Inner {
            keys_path: spec.keys.clone(),
            keys: ArcSwap::from_pointee(keys),
            tokens,
            quotas,
            log: RefusalLog::default(),
            metrics,
        })))
    }

    /// Returns the principal of a request with these headers, over a connection from `peer` whose
    /// client certificate has these names.
    ///
    /// # Errors
    /// The refusal, which was counted and logged.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        certificate: &[PeerName],
        peer: Option<SocketAddr>,
    ) -> Result<Principal, Refusal> {
        let (refusal, name) = match self.find(headers, certificate) {
            Ok(principal) => return Ok(principal),
            Err(refused) => refused,
        };
        self.0.metrics.refused_credentials(refusal.label());
        self.0.log.note(refusal, peer, name.as_deref());
        Err(refusal)
    }

    fn find(
        &self,
        headers: &HeaderMap,
        certificate: &[PeerName],
    ) -> Result<Principal, (Refusal, Option<String>)> {
        let keys = self.0.keys.load();
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let bearer = value.to_str().ok().and_then(bearer);
            let secret = bearer.ok_or((Refusal::Malformed, None))?;
            if let Some(holder) = keys.by_digest.get(&KeyDigest::of(secret)) {
                return match holder.expires {
                    Some(expires) if expires <= SystemTime::now() => {
                        Err((Refusal::ExpiredKey, Some(holder.name.clone())))
                    }
                    _ => Ok(holder.principal(Credential::Key)),
                };
            }
            return match &self.0.tokens {
                Some(tokens) if secret.matches('.').count() == 2 => tokens
                    .principal(secret, &self.0.quotas)
                    .map_err(|refusal| (refusal, None)),
                _ => Err((Refusal::UnknownKey, None)),
            };
        }
        let names = certificate.iter().map(PeerName::as_str);
        let mut holders = names.filter_map(|name| keys.by_certificate.get(name));
        match (holders.next(), certificate.first()) {
            (Some(holder), _) => match holder.expires {
                Some(expires) if expires <= SystemTime::now() => {
                    Err((Refusal::ExpiredKey, Some(holder.name.clone())))
                }
                _ => Ok(holder.principal(Credential::Certificate)),
            },
            (None, None) => Err((Refusal::Missing, None)),
            (None, Some(name)) => Err((Refusal::UnknownCertificate, Some(name.to_string()))),
        }
    }

    /// Reads files again when they change, and fetches key sets again, for ever. A version that
    /// cannot be used changes nothing; it is logged and counted.
    pub async fn watch(self) {
        let keys = async {
            if let Some(path) = &self.0.keys_path {
                super::reload::on_change(path, || self.read_keys_again()).await;
            }
        };
        let tokens = async {
            if let Some(tokens) = &self.0.tokens {
                tokens.watch(&self.0.metrics).await;
            }
        };
        tokio::join!(keys, tokens);
    }

    fn read_keys_again(&self) {
        let Some(path) = &self.0.keys_path else {
            return;
        };
        match KeysFile::read(path) {
            Ok(file) => {
                let count = file.entries.len();
                self.0.keys.store(Keys::of(file, &self.0.quotas).into());
                tracing::info!(path = %path.display(), count, "the keys file was read again");
            }
            Err(error) => {
                self.0.metrics.auth_reload_failed("keys");
                tracing::error!(
                    %error,
                    "the keys file changed and cannot be used: the keys of before stay"
                );
            }
        }
    }
}

impl Keys {
    fn of(file: KeysFile, quotas: &Quotas) -> Self {
        let mut keys = Self::default();
        for entry in file.entries {
            keys.add(entry, quotas);
        }
        keys
    }

    fn add(&mut self, entry: KeysEntry, quotas: &Quotas) {
        let quota = quotas.of(Credential::Key, &entry.name, &entry.rights);
        let holder = Arc::new(Holder {
            name: entry.name,
            rights: entry.rights,
            expires: entry.expires,
            quota,
        });
        for digest in entry.digests {
            self.by_digest.insert(digest, holder.clone());
        }
        if let Some(name) = entry.certificate {
            self.by_certificate.insert(name, holder);
        }
    }
}

impl Holder {
    fn principal(&self, credential: Credential) -> Principal {
        Principal::new(&self.name, credential, &self.rights, self.quota.clone())
    }
}

/// Returns the value of `Bearer VALUE`; the word may have any case.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, value) = header.trim().split_once(' ')?;
    let value = value.trim_start();
    let fits = scheme.eq_ignore_ascii_case("bearer")
        && !value.is_empty()
        && value.len() <= CREDENTIAL_BYTES_MAX;
    fits.then_some(value)
}
