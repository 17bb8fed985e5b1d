//! The source of a model: its name in a configuration, and its files.
//!
//! * `builtin`: the models that are compiled into the binary.
//! * `files`: [`ModelFiles`], the files of a source in the Hugging Face layout.
//! * `json`: typed access to the JSON files.
//! * `weights`: which files hold the weights, and access to their bytes.

mod builtin;
mod files;
mod json;
mod weights;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

pub use files::{Modality, ModelFiles};
pub(crate) use files::{Origin, SENTENCEPIECE, TOKENIZER};
pub(crate) use json::{JsonFiles, Shapes, is_lfs_pointer};
pub(crate) use weights::{PIECE, WeightBytes, WeightFiles};

use crate::names;
use builtin::BUILTIN;

/// The place of a model's files, written `builtin:NAME`, `file:PATH` or `hf:ORG/NAME[@REVISION]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A model that is compiled into the binary; its name is one of [`Source::builtin_names`].
    Builtin(&'static str),
    /// A directory in the Hugging Face layout.
    File(PathBuf),
    /// A repository of a hub.
    Hub {
        /// Its name, `ORG/NAME[@REVISION]`. Whoever fetches repositories knows whether it is one.
        name: Arc<str>,
        /// The directory with its files on this machine, once that is known.
        directory: Option<PathBuf>,
    },
}

impl Source {
    /// Names of the models compiled into this binary.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|model| model.name)
    }

    /// Returns the source with a relative `file:` path resolved against `base`, usually the folder
    /// of the configuration file.
    pub fn resolve(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
            other => other,
        }
    }

    /// Returns the directory with the files; `None` if they are in the binary, or not known to be
    /// on this machine.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Builtin(_) => None,
            Self::File(path) => Some(path),
            Self::Hub { directory, .. } => directory.as_deref(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Hub { name, .. } => write!(f, "hf:{name}"),
        }
    }
}

/// A text that is not a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The text has no `scheme:`.
    #[error(
        "source `{given}` has no scheme; write builtin:NAME, file:PATH or hf:ORG/NAME{}",
        did_you_mean(suggestion.as_deref())
    )]
    NoScheme {
        /// The text given.
        given: String,
        /// A likely correction.
        suggestion: Option<String>,
    },
    /// The scheme does not exist.
    #[error(
        "source `{given}`: unknown scheme `{scheme}`; known are builtin:NAME, file:PATH and \
         hf:ORG/NAME{}",
        did_you_mean(suggestion.as_deref())
    )]
    UnknownScheme {
        /// The text given.
        given: String,
        /// The text before the colon.
        scheme: String,
        /// A likely correction.
        suggestion: Option<String>,
    },
    /// No built-in model has this name.
    #[error("no built-in model `{name}`; {known}{}", did_you_mean(suggestion.as_deref()))]
    UnknownBuiltin {
        /// The name given.
        name: String,
        /// A phrase that lists the built-in models of this binary.
        known: String,
        /// A likely correction.
        suggestion: Option<String>,
    },
    /// Nothing follows the scheme.
    #[error(
        "source `{given}` names nothing after the scheme; write builtin:NAME, file:PATH or \
         hf:ORG/NAME"
    )]
    Empty {
        /// The text given.
        given: String,
    },
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let given = text.to_owned();
        let Some((scheme, rest)) = text.split_once(':') else {
            let suggestion = if Self::builtin_names().any(|name| name == text) {
                Some(format!("builtin:{text}"))
            } else if is_like_a_repository(text) {
                Some(format!("hf:{text}"))
            } else if text.contains(['/', '\\']) || text.starts_with('.') {
                Some(format!("file:{text}"))
            } else {
                nearest(text, Self::builtin_names()).map(|name| format!("builtin:{name}"))
            };
            return Err(SourceError::NoScheme { given, suggestion });
        };
        match scheme {
            "builtin" | "file" | "hf" if rest.is_empty() => Err(SourceError::Empty { given }),
            "builtin" => Self::builtin_names()
                .find(|name| *name == rest)
                .map(Self::Builtin)
                .ok_or_else(|| SourceError::UnknownBuiltin {
                    name: rest.to_owned(),
                    known: known_builtins(),
                    suggestion: nearest(rest, Self::builtin_names())
                        .map(|name| format!("builtin:{name}")),
                }),
            "file" => Ok(Self::File(PathBuf::from(rest))),
            "hf" => Ok(Self::Hub {
                name: rest.into(),
                directory: None,
            }),
            _ => Err(SourceError::UnknownScheme {
                given,
                scheme: scheme.to_owned(),
                suggestion: nearest(scheme, ["builtin", "file", "hf"].into_iter())
                    .map(|near| format!("{near}:{rest}")),
            }),
        }
    }
}

/// Returns whether a text looks like the name of a repository, `ORG/NAME`, more than like a path.
fn is_like_a_repository(text: &str) -> bool {
    let is_part = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric());
    text.split('/').count() == 2 && text.split('/').all(is_part) && !text.contains('\\')
}

fn known_builtins() -> String {
    let names: Vec<_> = Source::builtin_names().collect();
    if names.is_empty() {
        "this binary holds none: build it with the feature `builtin`".to_owned()
    } else {
        format!("this binary holds: {}", names.join(", "))
    }
}

/// Returns the known name that is most similar to `given`, if any is similar.
fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names::nearest(&given.to_lowercase(), known, 1).pop()
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion
        .map(|text| format!("; did you mean `{text}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
