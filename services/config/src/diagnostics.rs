//! Mistakes in configuration files: all of them are collected before anything is started.

use crate::names::{list_of, nearest};
use crate::source::{Span, Spanned};

/// Most diagnostics that are kept; further ones are only counted.
pub const DIAGNOSTICS_MAX: usize = 200;

/// Most names that a help line lists when none is near.
const LISTED_NAMES_MAX: usize = 20;

/// Severity of a [`Diagnostic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not say what was meant.
    Warning,
}

/// One mistake, its position, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Severity.
    pub severity: Severity,
    /// The mistake, in one line.
    pub message: String,
    /// Position; `None` when the mistake is not in a file's text.
    pub span: Option<Span>,
    /// A few words beside the caret.
    pub label: Option<String>,
    /// Related positions, each with a few words.
    pub secondary: Vec<Spanned<String>>,
    /// Facts that explain the mistake.
    pub notes: Vec<String>,
    /// Ways to mend it.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Creates an error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(span), message.into())
    }

    /// Creates a warning at `span`.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(span), message.into())
    }

    /// Creates an error that has no position in a file.
    pub fn error_without_span(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, None, message.into())
    }

    const fn new(severity: Severity, span: Option<Span>, message: String) -> Self {
        Self {
            severity,
            message,
            span,
            label: None,
            secondary: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Sets the words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds a related position, unless it is the main one.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        if self.span != Some(span) {
            self.secondary.push(Spanned::new(label.into(), span));
        }
        self
    }

    /// Adds a fact that explains the mistake.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds a way to mend the mistake.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds "did you mean `x`?" when one of `candidates` is near `name`, else their list when it
    /// has at most 20 names.
    #[must_use]
    pub fn suggest<'c>(self, name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Self {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        if let Some(near) = nearest(name, candidates.iter().copied()) {
            return self.help(format!("did you mean `{near}`?"));
        }
        match candidates.as_slice() {
            [] => self,
            [only] => self.help(format!("there is only `{only}`")),
            several if several.len() <= LISTED_NAMES_MAX => {
                self.help(format!("there are {}", list_of(several)))
            }
            _ => self,
        }
    }
}

/// The diagnostics of a run, each once.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    omitted: usize,
    errors: usize,
    warnings: usize,
}

impl Diagnostics {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a diagnostic; an exact repetition of a kept one is ignored.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.kept.contains(&diagnostic) {
            return;
        }
        match diagnostic.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.kept.len() < DIAGNOSTICS_MAX {
            self.kept.push(diagnostic);
        } else {
            self.omitted += 1;
        }
    }

    /// Number of errors.
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// Number of warnings.
    pub const fn warnings(&self) -> usize {
        self.warnings
    }

    /// Returns whether there is at least one error.
    pub const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns whether there are neither errors nor warnings.
    pub const fn is_empty(&self) -> bool {
        self.errors == 0 && self.warnings == 0
    }

    /// Number of diagnostics that were counted but not kept.
    pub const fn omitted(&self) -> usize {
        self.omitted
    }

    /// Returns the kept diagnostics by file and position, those without a position first.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.kept.iter().collect();
        sorted.sort_by_key(|d| d.span.map(|s| (s.file, s.start, s.end)));
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_past_the_limit_are_counted() {
        let mut all = Diagnostics::new();
        for i in 0..DIAGNOSTICS_MAX + 5 {
            all.push(Diagnostic::error_without_span(format!("{i}")));
        }
        all.push(Diagnostic::error_without_span("0"));
        assert_eq!(all.errors(), DIAGNOSTICS_MAX + 5);
        assert_eq!(all.omitted(), 5);
        assert_eq!(all.sorted().len(), DIAGNOSTICS_MAX);
    }
}
