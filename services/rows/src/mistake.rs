//! Mistakes of a binding.

use std::fmt;

/// One mistake: an input or a column, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The input that it concerns.
    pub input: String,
    /// The column, where there is one.
    pub column: Option<String>,
    /// The mistake, as the rest of a sentence about the input, and what helps.
    pub reason: String,
}

/// All mistakes of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(
                f,
                "input `{}`, column `{column}`: {}",
                self.input, self.reason
            ),
            None => write!(f, "input `{}`: {}", self.input, self.reason),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
