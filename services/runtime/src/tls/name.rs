//! Names of the other side of a connection.

use std::fmt;

/// A name in the verified certificate of a client. Its authority vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerName {
    /// A URI among the alternative names of the subject, such as a SPIFFE id.
    Uri(String),
    /// A DNS name among these.
    Dns(String),
    /// The common name of the subject.
    CommonName(String),
}

impl PeerName {
    /// Returns the name without its kind.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Uri(name) | Self::Dns(name) | Self::CommonName(name) => name,
        }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
