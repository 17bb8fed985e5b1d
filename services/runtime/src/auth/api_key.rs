//! API keys: how one is made, and what is kept of it.

use std::fmt;
use std::hash::{Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Beginning of every key that motet makes, by which people and scanners know one.
const PREFIX: &str = "motet_";
/// Random bytes of a key.
const RANDOM_BYTES: usize = 32;

/// A key, as its holder has it. It is shown once, when it is made.
pub struct ApiKey(String);

impl ApiKey {
    /// Makes a key of 256 random bits.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))))
    }

    /// Returns the key itself, to show it to its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns the digest that a keys file has of the key.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(&self.0)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// The SHA-256 of a key. Two are compared in constant time.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Returns the digest of a key as it was sent.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            let fits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(digits, 16).ok().filter(|_| fits)?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyDigest {}

/// A map by digests hashes them with a key of the process: the time of a look-up says nothing of
/// the digests in it.
impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_never_the_same() {
        let (one, other) = (ApiKey::generate(), ApiKey::generate());
        let (one, other) = (one.expect("random"), other.expect("random"));
        assert_ne!(one.reveal(), other.reveal());
        assert!(one.reveal().starts_with("motet_"));
        assert_eq!(one.reveal().len(), "motet_".len() + 43);
        assert!(one.digest() == KeyDigest::of(one.reveal()));
        assert!(one.digest() != other.digest());
        assert!(!format!("{one:?} {:?}", one.digest()).contains(&one.reveal()[6..]));
    }

    #[test]
    fn a_digest_is_read_as_it_prints() {
        let text = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert_eq!(KeyDigest::of("foo").to_string(), text);
        assert!(KeyDigest::parse(text) == Some(KeyDigest::of("foo")));
        assert!(KeyDigest::parse(&text.to_uppercase()) == Some(KeyDigest::of("foo")));
        for wrong in [
            "",
            "2c26",
            &"g".repeat(64),
            &"+1".repeat(32),
            &format!("{text}0"),
        ] {
            assert!(KeyDigest::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
