//! Credentials of keys that are no headers.

use std::fmt;
use std::path::Path;

use motet_config::values::non_empty;
use motet_config::{Diagnostic, Diagnostics, Entry, Span};

use super::headers::{HELP, HeaderError, HeaderSpec};

/// A text that may hold `${file:PATH}` and `${env:NAME}`. Its contents are a secret, which nothing
/// prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    spec: HeaderSpec,
    /// Place of the text.
    pub span: Span,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secret {
    /// Reads an entry whose text must not be written out in the file. Mistakes are added to
    /// `diagnostics`.
    pub fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Self> {
        let secret = Self::read_text(entry, diagnostics)?;
        if secret.spec.is_written() {
            let key = &entry.key.value;
            let message = format!("`{key}` is a secret, which the file must not hold");
            diagnostics.push(Diagnostic::error(secret.span, message).help(HELP));
        }
        Some(secret)
    }

    /// Reads an entry whose text may be written out. Mistakes are added to `diagnostics`.
    pub fn read_text(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Self> {
        let text = non_empty(entry, diagnostics)?;
        match HeaderSpec::of_key(&entry.key.value, &text.value) {
            Ok(spec) => Some(Self {
                spec,
                span: text.span,
            }),
            Err(why) => {
                diagnostics.push(Diagnostic::error(text.span, why).help(HELP));
                None
            }
        }
    }

    /// Makes relative paths start from `folder`.
    pub fn start_from(&mut self, folder: &Path) {
        self.spec.start_from(folder);
    }

    /// Returns the contents as they are now. Reads files.
    ///
    /// # Errors
    /// When a file cannot be read, or a variable is missing; without the contents.
    pub fn text(&self) -> Result<String, HeaderError> {
        self.spec.text(|name| std::env::var(name).ok())
    }

    /// Reports a file that cannot be read, or a variable that is missing.
    pub fn check(&self, diagnostics: &mut Diagnostics) {
        if let Err(error) = self.text() {
            diagnostics.push(Diagnostic::error(self.span, error.to_string()));
        }
    }
}
