//! A mistake in a model's configuration.

use std::fmt;

use motet_config::{Diagnostic, Span};

/// A mistake in one key of a model's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The model's name.
    pub model: Box<str>,
    /// The key at fault, such as `source`.
    pub key: &'static str,
    /// Where the value of the key is written.
    pub span: Span,
    /// The mistake and how to correct it, in one line.
    pub message: String,
    /// A way to mend it.
    pub help: Option<Box<str>>,
    /// A few words beside the place.
    pub label: Option<Box<str>>,
    /// `true` if all that is wrong is that files are not on this machine.
    is_of_absent: bool,
}

impl Problem {
    /// Returns a mistake in `key` of `model`, whose value is written at `span`.
    pub fn new(
        model: impl Into<Box<str>>,
        key: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self {
            model: model.into(),
            key,
            span,
            message: message.into(),
            help: None,
            label: None,
            is_of_absent: false,
        }
    }

    /// Adds a way to mend the mistake.
    #[must_use]
    pub fn help(mut self, help: impl Into<Box<str>>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says that all that is wrong is that files are not on this machine.
    #[must_use]
    pub(crate) fn absent(self) -> Self {
        Self {
            is_of_absent: true,
            ..self
        }
    }

    /// Returns whether all that is wrong is that files are not on this machine, which can be
    /// fetched.
    pub fn is_of_absent(&self) -> bool {
        self.is_of_absent
    }

    /// Adds a few words beside the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<Box<str>>) -> Self {
        self.label = Some(label.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            model,
            key,
            message,
            ..
        } = self;
        write!(f, "model {model}: {key}: {message}")
    }
}

impl std::error::Error for Problem {}

impl From<Problem> for Vec<Problem> {
    /// Returns the list of one problem, so that `?` ends a check with it.
    fn from(problem: Problem) -> Self {
        vec![problem]
    }
}

impl From<Problem> for Diagnostic {
    fn from(problem: Problem) -> Self {
        let mut diagnostic = Self::error(problem.span, problem.message);
        if let Some(label) = problem.label {
            diagnostic = diagnostic.label(label);
        }
        match problem.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}
