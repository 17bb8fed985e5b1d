//! Ends of a batch before it is done.

use std::error::Error;
use std::io;
use std::path::Path;

/// Remedy for a batch that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, unless something is changed: an input, the pipeline, the command line.
    Cannot,
    /// The same command again.
    TryAgain,
    /// More rows have errors than are allowed.
    TooManyErrors,
}

/// End of a batch before it is done. What is written stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BatchError {
    /// Remedy.
    pub verdict: Verdict,
    /// The reason, with the place.
    pub message: String,
}

impl BatchError {
    /// Returns an error that the same command would meet again.
    pub fn cannot(message: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Cannot,
            message: message.into(),
        }
    }

    /// Returns an error that may be gone the next time.
    pub fn try_again(message: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::TryAgain,
            message: message.into(),
        }
    }

    /// Returns the error of a batch that was told to stop.
    pub(crate) fn stopped() -> Self {
        let message = "stopped by a signal; what is written stays, and the same command goes on \
                       with the rest";
        Self::try_again(message)
    }

    /// Returns the error that another was made of on its way through readers and writers.
    pub(crate) fn within(error: &io::Error) -> Option<Self> {
        find::<Self>(error).cloned()
    }

    /// Returns the error of an input that cannot be read.
    pub(crate) fn reading(path: &Path, cause: &io::Error) -> Self {
        if let Some(error) = Self::within(cause) {
            return error;
        }
        let message = format!("{} cannot be read: {cause}", path.display());
        match cause.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory => Self::cannot(message),
            _ => Self::try_again(message),
        }
    }

    /// Returns the error of a file that cannot be written. A disk that is full may have room the
    /// next time.
    pub(crate) fn writing(path: &Path, cause: &io::Error) -> Self {
        if let Some(error) = Self::within(cause) {
            return error;
        }
        let message = format!("{} cannot be written: {cause}", path.display());
        match cause.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::ReadOnlyFilesystem => Self::cannot(message),
            _ => Self::try_again(message),
        }
    }
}

/// Returns the first of an error and its causes that has this type.
pub(crate) fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // The source of an error of I/O is that of what is in it.
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
