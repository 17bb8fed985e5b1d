//! JSON web tokens: whose signature is right, who made them for whom, and until when.
//!
//! * `key_set`: the keys that signatures are checked with.
//! * `source`: where these come from, a file or a URL.
//! * `ring`: the arithmetic, by ring.
//!
//! The algorithm is the one of the key, never the one that a token names: a token without a
//! signature (`alg: none`) or one that is "signed" with a public key as a secret (HMAC) fits none.

mod key_set;
mod ring;
mod source;

use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::grants::{Grant, Grants};
use super::refusal::Refusal;
use crate::config::JwtSpec;

pub(super) use key_set::KeySet;
pub(super) use source::fetch;

/// Checks tokens against a key set that can be replaced.
pub(super) struct TokenVerifier {
    keys: ArcSwap<KeySet>,
    validation: Validation,
    scope_claim: String,
}

/// A token that is right.
#[derive(Debug, PartialEq)]
pub(super) struct VerifiedToken {
    pub(super) subject: String,
    pub(super) grants: Grants,
    /// The moment from which it is not accepted, with the leeway.
    pub(super) expires: SystemTime,
}

/// Reason for which a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) refusal: Refusal,
    /// `true` if the token names a key that the set lacks: the set may have been replaced.
    pub(super) is_of_unknown_key: bool,
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            is_of_unknown_key: false,
        }
    }
}

impl TokenVerifier {
    pub(super) fn new(spec: &JwtSpec, keys: KeySet) -> Self {
        ring::install();
        let mut validation = Validation {
            leeway: spec.leeway.as_secs(),
            validate_nbf: true,
            ..Validation::default()
        };
        let mut required = vec!["exp", "sub"];
        match &spec.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            // A token for someone else is not for this server.
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = &spec.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Self {
            keys: ArcSwap::from_pointee(keys),
            validation,
            scope_claim: spec.scope_claim.clone(),
        }
    }

    /// Replaces the keys.
    pub(super) fn set_keys(&self, keys: KeySet) {
        self.keys.store(keys.into());
    }

    /// Checks a token.
    pub(super) fn verify(&self, token: &str) -> Result<VerifiedToken, Rejected> {
        let header = decode_header(token).map_err(|_| Refusal::BadToken)?;
        let keys = self.keys.load();
        let mut rejected = Rejected {
            refusal: Refusal::BadToken,
            is_of_unknown_key: true,
        };
        for key in keys.named(header.kid.as_deref()) {
            rejected.is_of_unknown_key = false;
            let mut validation = self.validation.clone();
            validation.algorithms.clone_from(&key.algorithms);
            match decode::<Map<String, Value>>(token, &key.key, &validation) {
                Ok(token) => return self.verified(token.claims).ok_or(rejected),
                Err(error) => rejected.refusal = refusal_of(&error, rejected.refusal),
            }
        }
        Err(rejected)
    }

    fn verified(&self, claims: Map<String, Value>) -> Option<VerifiedToken> {
        let subject = claims.get("sub")?.as_str()?.to_owned();
        let seconds = claims.get("exp")?.as_f64()?;
        let seconds = Duration::try_from_secs_f64(seconds).ok()?;
        let leeway = Duration::from_secs(self.validation.leeway);
        let grants = claims.get(&self.scope_claim).map(grants_of);
        Some(VerifiedToken {
            subject,
            grants: grants.unwrap_or_default(),
            expires: SystemTime::UNIX_EPOCH
                .checked_add(seconds)?
                .checked_add(leeway)?,
        })
    }
}

/// Returns the grants among the words of a scope, a list or a text with spaces; other words are for
/// other servers.
fn grants_of(scope: &Value) -> Grants {
    let words: Vec<&str> = match scope {
        Value::String(text) => text.split_whitespace().collect(),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let grants = words.iter().filter_map(|word| word.parse::<Grant>().ok());
    grants.collect()
}

/// Returns the refusal of an error. A wrong signature says less than what another key found.
fn refusal_of(error: &Error, before: Refusal) -> Refusal {
    match error.kind() {
        ErrorKind::ExpiredSignature => Refusal::ExpiredToken,
        ErrorKind::InvalidIssuer
        | ErrorKind::InvalidAudience
        | ErrorKind::InvalidSubject
        | ErrorKind::ImmatureSignature
        | ErrorKind::MissingRequiredClaim(_) => Refusal::WrongToken,
        _ => before,
    }
}

#[cfg(test)]
mod tests;
