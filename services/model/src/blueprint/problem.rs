//! A mistake in a model's configuration, at the key that is at fault.

use std::fmt;

use motet_runtime::config::{Diagnostic, Span};

/// What is wrong with one key of a model's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The model's name.
    pub model: String,
    /// The key at fault, such as `source`.
    pub key: &'static str,
    /// Where its value is written.
    pub span: Span,
    /// What is wrong and what to do, in one line.
    pub message: String,
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

impl From<Problem> for Diagnostic {
    fn from(problem: Problem) -> Self {
        Self::error(problem.span, problem.message)
    }
}
