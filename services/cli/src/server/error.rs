//! Why a server does not start.

use crate::configuration::ConfigurationErrors;

/// Why a [`Server`](crate::Server) does not start.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration has errors: the report of all of them, each with its place and the fix.
    #[error("{0}")]
    Configuration(String),
    /// Anything else, in one line: a model cannot be loaded, a server does not answer.
    #[error("{0}")]
    Start(String),
}

impl ServerError {
    /// Returns the error of a start that failed.
    pub(super) fn of(error: anyhow::Error) -> Self {
        match error.downcast::<ConfigurationErrors>() {
            Ok(errors) => Self::Configuration(errors.to_string()),
            Err(error) => Self::Start(format!("{error:#}")),
        }
    }
}
