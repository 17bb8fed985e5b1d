//! Models that give a vector for each token, to be compared by late interaction (ColBERT): how
//! queries and documents become rows.
//!
//! * `colbert`: the file of the colbert library, artifact.metadata.
//! * `sentence_transformers`: those of PyLate and of sentence-transformers;
//!   `mask`: the module MultiVectorMask.

mod colbert;
mod mask;
mod sentence_transformers;

use crate::architecture::Architecture;
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) use mask::Mask;

/// Role of a text in late interaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TextRole {
    /// It is searched with.
    Query,
    /// It is searched for.
    #[default]
    Document,
}

impl TextRole {
    /// Returns the role of texts with the prompt of this name.
    pub fn of_prompt(name: &str) -> Self {
        match name {
            "query" => Self::Query,
            _ => Self::Document,
        }
    }
}

/// Rules by which queries and documents become rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenVectors {
    pub(crate) query: RowRules,
    pub(crate) document: RowRules,
    pub(crate) projection: Projection,
    /// The file that says that the model gives token vectors.
    pub(crate) file: &'static str,
}

/// Place of the projection of the tokens' vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Projection {
    /// The modules of modules.json, if there is one among them.
    Modules {
        /// `true` if vectors of length 1 are meant without a module that says so.
        unit_length: bool,
    },
    /// The weights of the encoder.
    Weights {
        /// Number of values of a projected vector, where the files say it.
        size: Option<usize>,
    },
}

/// Rules by which the texts of one role become rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowRules {
    pub(crate) marker: Option<Marker>,
    /// Most tokens of a row, special tokens and marker included.
    pub(crate) max_tokens: Option<usize>,
    pub(crate) expansion: Option<Expansion>,
    /// Tokens that give no vector.
    pub(crate) skipped: Vec<String>,
    /// Ids of the only tokens that give a vector.
    pub(crate) only: Option<Vec<u32>>,
}

/// Text before each text and its prompt; mostly it is one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) text: String,
    /// The file and the key that name it, if it has to be a token.
    pub(crate) token_of: Option<(&'static str, &'static str)>,
}

/// Expansion of short rows by a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expansion {
    /// Fewest tokens of a row, special tokens and marker included.
    pub(crate) tokens: usize,
    /// `true` if that is the most, too.
    pub(crate) is_limit: bool,
    /// `true` if other tokens attend to those that are added.
    pub(crate) attended: bool,
    /// The token that is added; the tokenizer's mask if nothing is said.
    pub(crate) token: Option<String>,
    /// The file that says it.
    pub(crate) file: &'static str,
}

/// A row has its special tokens, a marker, and at least one token of the text.
const LEAST_TOKENS: usize = 4;

impl TokenVectors {
    /// Reads the files of a model whose weights were saved as `classes`; `mask` is that of
    /// modules.json. Returns `None` for a model without any of these files.
    ///
    /// # Errors
    /// A key or a value that is not known.
    pub(super) fn read(
        json: &JsonFiles<'_>,
        classes: &[String],
        mask: Option<Mask>,
    ) -> Result<Option<Self>, LoadError> {
        match sentence_transformers::read(json, mask)? {
            Some(found) => Ok(Some(found)),
            None => colbert::read(json, classes),
        }
    }

    /// Returns the rules of a role.
    pub(crate) fn of(&self, role: TextRole) -> &RowRules {
        match role {
            TextRole::Query => &self.query,
            TextRole::Document => &self.document,
        }
    }

    /// Checks the numbers of tokens against what the encoder takes.
    ///
    /// # Errors
    /// Rows that are too long or too short, and an expansion of which a token would see no other.
    pub(super) fn check(
        &self,
        json: &JsonFiles<'_>,
        architecture: &Architecture,
    ) -> Result<(), LoadError> {
        let Some(expansion) = &self.query.expansion else {
            return Ok(());
        };
        let (file, tokens) = (expansion.file, expansion.tokens);
        let refuse = |reason| Err(json.unsupported(file, reason));
        let most = architecture.max_tokens;
        if !(LEAST_TOKENS..=most).contains(&tokens) {
            return refuse(format!(
                "queries are expanded to {tokens} tokens; supported: {LEAST_TOKENS} to {most}, the \
                 most that the encoder takes"
            ));
        }
        if !expansion.attended && architecture.relative.is_some() {
            return refuse(
                "queries are expanded by tokens that are not attended to, of which this \
                 architecture makes nothing; supported for it: tokens that are attended to"
                    .to_owned(),
            );
        }
        let windows = architecture.masks().into_iter();
        let least = windows.filter_map(|mask| match mask {
            motet_kernels::Mask::Window { before, .. } => Some(before),
            _ => None,
        });
        match least.min() {
            // The first token is always the row's own.
            Some(window) if !expansion.attended && tokens - 1 > window => refuse(format!(
                "queries are expanded to {tokens} tokens that are not attended to, but a layer's \
                 tokens see only {window} before them: the last could see none; supported: at most \
                 {}",
                window + 1
            )),
            _ => Ok(()),
        }
    }
}

/// Returns the signs of punctuation of ASCII, which models skip in documents if nothing else is
/// said.
fn punctuation() -> Vec<String> {
    let signs = (0u8..128).filter(u8::is_ascii_punctuation);
    signs.map(|sign| char::from(sign).to_string()).collect()
}

/// Returns a limit of tokens.
fn limit(
    json: &JsonFiles<'_>,
    file: &str,
    key: &str,
    limit: Option<usize>,
) -> Result<Option<usize>, LoadError> {
    match limit {
        Some(limit) if limit < LEAST_TOKENS => {
            let reason = format!("{key} is {limit}; it must be at least {LEAST_TOKENS}");
            Err(json.unsupported(file, reason))
        }
        limit => Ok(limit),
    }
}

#[cfg(test)]
mod tests;
