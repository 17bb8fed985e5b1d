//! Exit codes.

use std::process::{ExitCode, Termination};

/// The exit code of a program, as `main` returns it.
///
/// ```
/// assert_eq!(motet::Exit::SUCCESS.code(), 0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "`main` returns it"]
pub struct Exit(u8);

impl Exit {
    /// Everything went well.
    pub const SUCCESS: Self = Self(0);
    /// Something failed.
    pub const FAILURE: Self = Self(1);
    /// The command line is wrong, or a file has errors.
    pub const USAGE: Self = Self(2);
    /// More rows of a batch have errors than are allowed.
    pub const TOO_MANY_ERRORS: Self = Self(3);
    /// It cannot succeed, however often it is tried: an input or a pipeline has to change.
    pub const CANNOT: Self = Self(42);
    /// It may succeed when it is tried again.
    pub const TRY_AGAIN: Self = Self(75);

    /// Returns the number that the system gets.
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
