//! Principals: those who call, once their credentials are known to be right.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;

use super::grants::Grants;
use super::keys_file::Rights;
use super::quota::Quota;
use crate::flow;

/// The kind of credential that a principal came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API key.
    Key,
    /// A JSON web token.
    Token,
    /// A client certificate.
    Certificate,
}

impl Credential {
    /// Returns the word for it in metrics and in the audit.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

/// Someone who calls. Clones share it.
#[derive(Clone)]
pub struct Principal(Arc<Inner>);

struct Inner {
    name: String,
    credential: Credential,
    grants: Grants,
    share: NonZeroU16,
    flow: u64,
    quota: Quota,
}

impl Principal {
    pub(super) fn new(name: &str, credential: Credential, rights: &Rights, quota: Quota) -> Self {
        Self(Arc::new(Inner {
            name: name.to_owned(),
            credential,
            grants: rights.grants.clone(),
            share: rights.share,
            flow: flow::hash((credential == Credential::Token, name)),
            quota,
        }))
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the kind of its credential.
    pub fn credential(&self) -> Credential {
        self.0.credential
    }

    /// Returns its permissions.
    pub fn grants(&self) -> &Grants {
        &self.0.grants
    }

    /// Returns its share of a model's time.
    pub fn share(&self) -> NonZeroU16 {
        self.0.share
    }

    /// Returns the key of its flow, a keyed hash of its name. The subject of a token is someone
    /// else than the holder of a key with the same name.
    pub(crate) fn flow(&self) -> u64 {
        self.0.flow
    }

    pub(crate) fn quota(&self) -> &Quota {
        &self.0.quota
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Principal").field(&self.0.name).finish()
    }
}
