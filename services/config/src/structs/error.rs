//! Errors of serde in the words of this crate.

use std::fmt::{self, Display};

use serde::de::{Expected, Unexpected};

use crate::diagnostics::Diagnostic;
use crate::names::{list_of, truncated};
use crate::source::Span;

/// Beginnings of messages that go on after the name of a key.
const VERBS: [&str; 5] = ["is ", "are ", "has ", "must ", "needs "];

/// A mistake in a value.
#[derive(Debug)]
pub(super) struct Error {
    kind: Kind,
    /// Path and place of the value, once they are known.
    place: Option<(String, Span)>,
}

#[derive(Debug)]
enum Kind {
    /// A value of another kind than is wanted.
    Type { expected: String, found: String },
    /// A value of the right kind that is not allowed.
    Value { expected: String, found: String },
    /// None of the words that are allowed.
    Word {
        found: String,
        expected: &'static [&'static str],
    },
    /// A key that is not there.
    Missing(&'static str),
    /// A message of a type's own.
    Custom(String),
}

impl Error {
    fn new(kind: Kind) -> Self {
        Self { kind, place: None }
    }

    /// Returns the error with the place of the innermost value that was read.
    pub(super) fn at(mut self, path: &str, span: Span) -> Self {
        self.place.get_or_insert_with(|| (path.to_owned(), span));
        self
    }

    /// Returns the place of the value, if the error has one.
    pub(super) fn span(&self) -> Option<Span> {
        self.place.as_ref().map(|(_, span)| *span)
    }

    /// Returns the key that is missing in the map itself.
    pub(super) fn missing_field(&self) -> Option<&'static str> {
        match (&self.kind, &self.place) {
            (Kind::Missing(field), None) => Some(field),
            _ => None,
        }
    }

    /// Returns the error as it is reported. One without a place is reported at `at`, the name of
    /// the map `what`.
    pub(super) fn diagnostic(&self, what: &str, at: Span) -> Diagnostic {
        let (name, span) = match &self.place {
            Some((path, span)) => (format!("`{}`", truncated(path)), *span),
            None => (what.to_owned(), at),
        };
        match &self.kind {
            Kind::Type { expected, found } => {
                let message = format!("{name} must be {}, not {found}", in_words(expected));
                Diagnostic::error(span, message)
            }
            Kind::Value { expected, found } => {
                let message = format!("{name} is {found}, but must be {}", in_words(expected));
                Diagnostic::error(span, message)
            }
            Kind::Word { found, expected } => {
                let shown = truncated(found);
                let message = format!("{name} must be one of {}, not `{shown}`", list_of(expected));
                Diagnostic::error(span, message).suggest(found, expected.iter().copied())
            }
            Kind::Missing(field) => {
                Diagnostic::error(span, format!("{name} needs the key `{field}`"))
            }
            Kind::Custom(message) => {
                let goes_on = VERBS.iter().any(|verb| message.starts_with(verb));
                let colon = if goes_on { "" } else { ":" };
                Diagnostic::error(span, format!("{name}{colon} {message}"))
            }
        }
    }
}

/// Returns what a visitor of serde's own wants in words of YAML.
fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "an integer of 0 or more",
        "isize" | "i64" | "i32" | "i16" | "i8" => "an integer",
        "f64" | "f32" => "a number",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "string or map" | "variant identifier" => "a word",
        other if other.starts_with("struct ") => "a map of keys and values",
        other => other,
    }
}

/// Returns the kind of a value with its article.
fn kind(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(_) => "a boolean".to_owned(),
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer".to_owned(),
        Unexpected::Float(_) => "a number".to_owned(),
        Unexpected::Char(_) | Unexpected::Str(_) => "a string".to_owned(),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// Returns a value as it was written.
fn value(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(text) => format!("`{}`", truncated(text)),
        other => kind(other),
    }
}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(Kind::Custom(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Type {
            expected: expected.to_string(),
            found: kind(&found),
        })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Value {
            expected: expected.to_string(),
            found: value(&found),
        })
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::Word {
            found: found.to_owned(),
            expected,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing(field))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic("the map", Span::default()).message)
    }
}

impl std::error::Error for Error {}
