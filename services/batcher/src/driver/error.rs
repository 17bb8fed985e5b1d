//! Errors of starting a batcher.

use crate::options::OptionProblem;

/// The error of starting a batcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpawnError {
    /// The options are invalid.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Options(Vec<OptionProblem>),
    /// No factory was given.
    #[error("a batcher needs at least one executor")]
    NoExecutors,
    /// The system could not start a thread.
    #[error("no thread for an executor: {0}")]
    Thread(String),
    /// An executor could not be built.
    #[error("executor {executor} could not be built: {source}")]
    Build {
        /// Number of its factory, from 0.
        executor: usize,
        /// The factory's error.
        source: BuildError,
    },
}

/// The error of building an executor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);
