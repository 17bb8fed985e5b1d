//! Files that TLS cannot be spoken with.

use std::path::PathBuf;

use motet_config::{Diagnostic, Span};

/// A file of TLS that cannot be used, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {} {reason}{}", path.display(), with_help(help.as_deref()))]
pub struct TlsProblem {
    /// The key that names the file, such as `cert`.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The reason, as the end of a sentence about the file.
    pub reason: String,
    /// The way out.
    pub help: Option<String>,
}

fn with_help(help: Option<&str>) -> String {
    help.map(|help| format!("; {help}")).unwrap_or_default()
}

impl TlsProblem {
    /// Returns the problem as a mistake in a configuration, at the path of the file.
    pub fn diagnostic(&self, span: Span) -> Diagnostic {
        let message = format!("`{}` {}", self.path.display(), self.reason);
        let diagnostic = Diagnostic::error(span, message);
        match &self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}
