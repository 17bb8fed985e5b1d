//! A JSON web key set.

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};

/// Keys that signatures of tokens are checked with.
#[derive(Debug, Clone, Default)]
pub(in crate::auth) struct KeySet(Vec<VerifyingKey>);

/// A public key, and the algorithms that signatures with it may have.
#[derive(Debug, Clone)]
pub(super) struct VerifyingKey {
    id: Option<String>,
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
}

/// Error of a text that is no usable key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::auth) enum KeySetError {
    #[error("it is no JSON web key set: {0}")]
    Json(String),
    #[error(
        "it has a symmetric key (`kty: oct`): whoever checks tokens with it could make them; give \
         the set of public keys"
    )]
    Symmetric,
    #[error(
        "it has no key that signs with RSA, ECDSA on P-256 or P-384, or Ed25519, so that no token \
         could be accepted"
    )]
    Empty,
}

impl KeySet {
    /// Reads a key set. Keys for other purposes, such as encryption, are left out.
    pub(in crate::auth) fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: JwkSet =
            serde_json::from_slice(json).map_err(|error| KeySetError::Json(error.to_string()))?;
        let mut keys = Vec::new();
        for jwk in &set.keys {
            if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
                return Err(KeySetError::Symmetric);
            }
            if matches!(
                jwk.common.public_key_use,
                None | Some(PublicKeyUse::Signature)
            ) {
                keys.extend(verifying_key(jwk));
            }
        }
        match keys.is_empty() {
            true => Err(KeySetError::Empty),
            false => Ok(Self(keys)),
        }
    }

    /// Returns the keys that a token names: those of this id, or all where it names none.
    pub(super) fn named(&self, id: Option<&str>) -> impl Iterator<Item = &VerifyingKey> {
        let keys = self.0.iter();
        keys.filter(move |key| id.is_none() || key.id.is_none() || key.id.as_deref() == id)
    }
}

fn verifying_key(jwk: &Jwk) -> Option<VerifyingKey> {
    let algorithms = algorithms(jwk);
    if algorithms.is_empty() {
        return None;
    }
    Some(VerifyingKey {
        id: jwk.common.key_id.clone(),
        key: DecodingKey::from_jwk(jwk).ok()?,
        algorithms,
    })
}

/// Returns the algorithms of a key: the one that it states, else those that fit its type.
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let fitting: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) => match key.curve {
            EllipticCurve::Ed25519 => &[EdDSA],
            _ => &[],
        },
        _ => &[],
    };
    let stated = match jwk.common.key_algorithm {
        None => return fitting.to_vec(),
        Some(KeyAlgorithm::RS256) => RS256,
        Some(KeyAlgorithm::RS384) => RS384,
        Some(KeyAlgorithm::RS512) => RS512,
        Some(KeyAlgorithm::PS256) => PS256,
        Some(KeyAlgorithm::PS384) => PS384,
        Some(KeyAlgorithm::PS512) => PS512,
        Some(KeyAlgorithm::ES256) => ES256,
        Some(KeyAlgorithm::ES384) => ES384,
        Some(KeyAlgorithm::EdDSA) => EdDSA,
        Some(_) => return Vec::new(),
    };
    let fits = fitting.contains(&stated);
    fits.then_some(stated).into_iter().collect()
}
