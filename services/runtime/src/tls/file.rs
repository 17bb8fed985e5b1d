//! A file of TLS, and what is wrong with it.

use std::path::Path;

use super::problem::TlsProblem;

/// A file by the key that names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TlsFile<'p> {
    pub(super) key: &'static str,
    pub(super) path: &'p Path,
}

impl TlsFile<'_> {
    /// Returns the problem of this file.
    pub(super) fn problem(self, reason: impl Into<String>) -> TlsProblem {
        TlsProblem {
            key: self.key,
            path: self.path.to_owned(),
            reason: reason.into(),
            help: None,
        }
    }
}

impl TlsProblem {
    /// Adds what to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
