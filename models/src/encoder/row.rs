//! Rows to encode, and the errors of rows that cannot be encoded.

use crate::config::ModelConfig;

/// One row to encode: borrowed token ids, special tokens included.
#[derive(Clone, Copy, Debug)]
pub struct RowInput<'a> {
    /// The ids, such as [`crate::TokenIds::as_slice`] gives them.
    pub ids: &'a [u32],
}

/// A row that cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// No tokens.
    #[error("row has no tokens; even an empty text has its special tokens")]
    Empty,
    /// More tokens than the model takes.
    #[error("row has {tokens} tokens, the model takes at most {limit}")]
    TooLong {
        /// Tokens in the row.
        tokens: usize,
        /// The model's limit.
        limit: usize,
    },
    /// An id outside the vocabulary.
    #[error("token id {id} at position {position} is not in the vocabulary of {vocabulary} ids")]
    UnknownId {
        /// The id.
        id: u32,
        /// Where in the row, from 0.
        position: usize,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
}

/// Refuses a row that would make the computation fail.
pub(super) fn check(ids: &[u32], config: &ModelConfig) -> Result<(), RowError> {
    if ids.is_empty() {
        return Err(RowError::Empty);
    }
    if ids.len() > config.max_tokens {
        return Err(RowError::TooLong {
            tokens: ids.len(),
            limit: config.max_tokens,
        });
    }
    let vocabulary = config.vocabulary();
    match ids.iter().position(|&id| id as usize >= vocabulary) {
        Some(position) => Err(RowError::UnknownId {
            id: ids[position],
            position,
            vocabulary,
        }),
        None => Ok(()),
    }
}
