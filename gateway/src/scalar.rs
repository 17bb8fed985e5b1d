//! Scalars without an element type: literals, settings and parameters.
//!
//! * [`cell`]: comparison of scalars and elements of tensors.
//! * [`decimal`]: conversion between decimals and floats of several widths.

pub mod cell;
pub mod decimal;

use std::fmt;

/// A single value as a file or a request states it, before it has an element type.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A Boolean.
    Bool(bool),
    /// An integer, for every integer element type.
    Int(i64),
    /// A number, for every floating-point element type.
    Float(f64),
    /// Text, for `string` and `bytes`.
    String(String),
}

impl Scalar {
    /// Returns the value as JSON; a float that JSON cannot represent (an infinity, NaN) is null.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Bool(b) => (*b).into(),
            Self::Int(i) => (*i).into(),
            Self::Float(f) => (*f).into(),
            Self::String(s) => s.as_str().into(),
        }
    }

    /// Returns the kind of the value with its article, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::String(s) => write!(f, "{s:?}"),
        }
    }
}
