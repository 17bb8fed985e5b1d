//! A mistake in a model's configuration.

use std::fmt;

use motet_config::{Diagnostic, Span};

use crate::spec::ModelSpec;

/// A mistake in one key of a model's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The model's name.
    pub model: String,
    /// The key at fault, such as `source`.
    pub key: &'static str,
    /// Where the value of the key is written.
    pub span: Span,
    /// The mistake and how to correct it, in one line.
    pub message: String,
}

impl Problem {
    pub(super) fn new(spec: &ModelSpec, key: &'static str, span: Span, message: String) -> Self {
        Self {
            model: spec.name.value.clone(),
            key,
            span,
            message,
        }
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

impl From<Problem> for Diagnostic {
    fn from(problem: Problem) -> Self {
        Self::error(problem.span, problem.message)
    }
}
