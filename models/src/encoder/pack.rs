//! Rows of a batch put one after another, without padding.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};

use super::RowOutput;
use crate::config::ModelConfig;

/// One row to encode: borrowed token ids (special tokens included) and what is wanted of them.
#[derive(Clone, Copy, Debug)]
pub struct RowInput<'a> {
    /// The ids, such as [`crate::TokenIds::as_slice`] gives them.
    pub ids: &'a [u32],
    /// One vector, or one for each token.
    pub output: RowOutput,
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
pub(super) fn check(ids: &[u32], config: &ModelConfig) -> std::result::Result<(), RowError> {
    if ids.is_empty() {
        return Err(RowError::Empty);
    }
    if ids.len() > config.max_tokens {
        return Err(RowError::TooLong {
            tokens: ids.len(),
            limit: config.max_tokens,
        });
    }
    let vocabulary = config.encoder.vocab_size;
    match ids.iter().position(|&id| id as usize >= vocabulary) {
        Some(position) => Err(RowError::UnknownId {
            id: ids[position],
            position,
            vocabulary,
        }),
        None => Ok(()),
    }
}

/// A batch laid out for the encoder.
pub(super) struct Pack {
    /// Token ids of all rows, u32 `[T]`.
    pub(super) ids: Tensor,
    /// Position of each token in its row, u32 `[T]`.
    pub(super) positions: Tensor,
    /// Each row's tokens as a range of 0..T, in order, none empty.
    pub(super) rows: Vec<Range<usize>>,
}

impl Pack {
    /// Rows must have passed [`check`], and there must be one at least.
    pub(super) fn new(rows: &[&RowInput<'_>], device: &Device) -> Result<Self> {
        let tokens = rows.iter().map(|row| row.ids.len()).sum();
        let mut ids = Vec::with_capacity(tokens);
        let mut positions = Vec::with_capacity(tokens);
        let mut ranges = Vec::with_capacity(rows.len());
        for row in rows {
            let start = ids.len();
            ids.extend_from_slice(row.ids);
            positions.extend((0u32..).take(row.ids.len()));
            ranges.push(start..ids.len());
        }
        Ok(Self {
            ids: Tensor::from_vec(ids, tokens, device)?,
            positions: Tensor::from_vec(positions, tokens, device)?,
            rows: ranges,
        })
    }
}
