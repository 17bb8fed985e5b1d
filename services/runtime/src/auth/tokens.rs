//! The subjects of JSON web tokens as principals.

#[cfg(feature = "tls")]
pub(super) use with_signatures::Tokens;
#[cfg(not(feature = "tls"))]
pub(super) use without_signatures::Tokens;

/// Returns why the key set file of `spec` cannot be used; `None` if it can, or is at a URL.
pub(crate) fn key_set_problem(spec: &crate::config::JwtSpec) -> Option<String> {
    match &spec.jwks {
        crate::config::KeySetSource::File(path) => Tokens::check_file(path)
            .err()
            .map(|error| error.to_string()),
        crate::config::KeySetSource::Url(_) => None,
    }
}

#[cfg(feature = "tls")]
mod with_signatures {
    use std::collections::HashMap;
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};
    use std::time::{Duration, SystemTime};

    use tokio::sync::Notify;
    use tokio::time::Instant;

    use crate::auth::api_key::KeyDigest;
    use crate::auth::authenticator::{AuthError, Quotas};
    use crate::auth::jwt::{self, KeySet, TokenVerifier};
    use crate::auth::keys_file::Rights;
    use crate::auth::principal::{Credential, Principal};
    use crate::auth::refusal::Refusal;
    use crate::auth::reload;
    use crate::config::{JwtSpec, KeySetSource};
    use crate::metrics::ServerMetrics;

    /// Time after which a key set is fetched again.
    const REFRESH: Duration = Duration::from_secs(300);
    /// Least time between two fetches for keys that are not known.
    const REFRESH_UNKNOWN: Duration = Duration::from_secs(10);
    /// Largest key set, in bytes.
    const KEY_SET_BYTES_MAX: u64 = 1 << 20;
    /// Most tokens whose signature is remembered as right.
    const VERIFIED_MAX: usize = 8192;

    /// Accepts tokens.
    pub(in crate::auth) struct Tokens {
        verifier: TokenVerifier,
        source: KeySetSource,
        rights: Rights,
        /// Tokens that were right, until they expire: a signature takes a hundred times longer
        /// to check than a digest to compute.
        verified: Mutex<HashMap<KeyDigest, (Principal, SystemTime)>>,
        unknown_key: Notify,
    }

    impl Tokens {
        pub(in crate::auth) async fn new(spec: &JwtSpec) -> Result<Self, AuthError> {
            let keys = load(&spec.jwks).await?;
            Ok(Self {
                verifier: TokenVerifier::new(spec, keys),
                source: spec.jwks.clone(),
                rights: spec.rights.clone(),
                verified: Mutex::default(),
                unknown_key: Notify::new(),
            })
        }

        pub(in crate::auth) fn check_file(path: &Path) -> Result<(), AuthError> {
            read(path).map(drop)
        }

        /// Returns the principal of a token.
        pub(in crate::auth) fn principal(
            &self,
            token: &str,
            quotas: &Quotas,
        ) -> Result<Principal, Refusal> {
            let digest = KeyDigest::of(token);
            let now = SystemTime::now();
            if let Some((principal, expires)) = self.verified().get(&digest) {
                return match *expires > now {
                    true => Ok(principal.clone()),
                    false => Err(Refusal::ExpiredToken),
                };
            }
            let token = self.verifier.verify(token).map_err(|rejected| {
                if rejected.is_of_unknown_key {
                    self.unknown_key.notify_one();
                }
                rejected.refusal
            })?;
            let rights = Rights {
                grants: self.rights.grants.with(&token.grants),
                ..self.rights.clone()
            };
            let quota = quotas.of(Credential::Token, &token.subject, &rights);
            let principal = Principal::new(&token.subject, Credential::Token, &rights, quota);
            let mut verified = self.verified();
            if verified.len() >= VERIFIED_MAX {
                verified.retain(|_, (_, expires)| *expires > now);
            }
            if verified.len() < VERIFIED_MAX {
                verified.insert(digest, (principal.clone(), token.expires));
            }
            Ok(principal)
        }

        /// Keeps the key set up to date, for ever.
        pub(in crate::auth) async fn watch(&self, metrics: &ServerMetrics) {
            match &self.source {
                KeySetSource::File(path) => {
                    reload::on_change(path, || self.replace(read(path), metrics)).await;
                }
                KeySetSource::Url(_) => loop {
                    let fetched = Instant::now();
                    tokio::select! {
                        () = tokio::time::sleep(REFRESH) => {}
                        () = self.unknown_key.notified() => {
                            // A token of a key that never was does not make this server call.
                            tokio::time::sleep_until(fetched + REFRESH_UNKNOWN).await;
                        }
                    }
                    self.replace(load(&self.source).await, metrics);
                },
            }
        }

        fn replace(&self, keys: Result<KeySet, AuthError>, metrics: &ServerMetrics) {
            match keys {
                Ok(keys) => {
                    self.verifier.set_keys(keys);
                    // A key that was withdrawn is right for nobody.
                    self.verified().clear();
                }
                Err(error) => {
                    metrics.auth_reload_failed("jwks");
                    tracing::error!(%error, "the key set of before stays");
                }
            }
        }

        fn verified(
            &self,
        ) -> std::sync::MutexGuard<'_, HashMap<KeyDigest, (Principal, SystemTime)>> {
            self.verified.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    async fn load(source: &KeySetSource) -> Result<KeySet, AuthError> {
        match source {
            KeySetSource::File(path) => read(path),
            KeySetSource::Url(url) => jwt::fetch(url).await.map_err(|reason| AuthError::KeySet {
                source_name: url.clone(),
                reason,
            }),
        }
    }

    fn read(path: &Path) -> Result<KeySet, AuthError> {
        let json = motet_config::files::read(path, KEY_SET_BYTES_MAX);
        let keys = json.map_err(|error| error.to_string());
        let keys = keys.and_then(|json| KeySet::parse(&json).map_err(|error| error.to_string()));
        keys.map_err(|reason| AuthError::KeySet {
            source_name: path.display().to_string(),
            reason,
        })
    }
}

#[cfg(not(feature = "tls"))]
mod without_signatures {
    use std::path::Path;

    use crate::auth::authenticator::{AuthError, Quotas};
    use crate::auth::principal::Principal;
    use crate::auth::refusal::Refusal;
    use crate::config::JwtSpec;
    use crate::metrics::ServerMetrics;

    /// Tokens in a build without signatures, whose configuration is refused: there are none.
    pub(in crate::auth) enum Tokens {}

    impl Tokens {
        #[allow(clippy::unused_async)] // as in the build with signatures
        pub(in crate::auth) async fn new(_: &JwtSpec) -> Result<Self, AuthError> {
            Err(AuthError::KeySet {
                source_name: "of tokens".to_owned(),
                reason: "this build has no signatures".to_owned(),
            })
        }

        pub(in crate::auth) fn check_file(_: &Path) -> Result<(), AuthError> {
            Ok(())
        }

        pub(in crate::auth) fn principal(&self, _: &str, _: &Quotas) -> Result<Principal, Refusal> {
            match *self {}
        }

        #[allow(clippy::unused_async)] // as in the build with signatures
        pub(in crate::auth) async fn watch(&self, _: &ServerMetrics) {
            match *self {}
        }
    }
}
