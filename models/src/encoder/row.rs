//! Rows to encode, and the errors of rows that cannot be encoded.

use super::LoadedHead;
use crate::architecture::Pooling;
use crate::config::ModelConfig;
use crate::tokenizer::TokenIds;

/// Tokens of a row.
#[derive(Clone, Copy, Debug)]
pub enum RowTokens<'a> {
    /// Of a text: token ids, special tokens included.
    Ids(&'a [u32]),
    /// Of an image: the values of its patches, one patch after the other.
    Patches {
        /// The values of all patches.
        values: &'a [f32],
        /// Number of tokens: one for each patch, and one more where the model has a class token.
        tokens: usize,
    },
}

/// One row to encode, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RowInput<'a> {
    /// The tokens.
    pub tokens: RowTokens<'a>,
    /// Type of each token: 0 for those of a single text or of the first text of a pair, 1 for those
    /// of the second. Empty if all are 0. A model without types does not look at them.
    pub types: &'a [u32],
    /// Number of tokens at the beginning that are left out where the row is pooled, such as those
    /// of a prompt. Attention sees them all.
    pub unpooled: usize,
    /// Number of tokens at the end that no token attends to, such as those that expand a query.
    /// They attend to the others, and have vectors.
    pub unattended: usize,
    /// Places of tokens, ascending, that give no vector where each token gives one.
    pub dropped: &'a [u32],
}

impl<'a> RowInput<'a> {
    /// Returns the row of these ids, all of type 0, all pooled and attended.
    pub const fn new(ids: &'a [u32]) -> Self {
        Self::of(RowTokens::Ids(ids))
    }

    /// Returns the row of an image, of this number of tokens, by the values of its patches.
    pub const fn of_image(values: &'a [f32], tokens: usize) -> Self {
        Self::of(RowTokens::Patches { values, tokens })
    }

    const fn of(tokens: RowTokens<'a>) -> Self {
        Self {
            tokens,
            types: &[],
            unpooled: 0,
            unattended: 0,
            dropped: &[],
        }
    }

    /// Returns the number of tokens.
    pub(super) const fn len(&self) -> usize {
        match self.tokens {
            RowTokens::Ids(ids) => ids.len(),
            RowTokens::Patches { tokens, .. } => tokens,
        }
    }

    /// Returns the token ids; none of an image.
    pub(super) const fn ids(&self) -> &'a [u32] {
        match self.tokens {
            RowTokens::Ids(ids) => ids,
            RowTokens::Patches { .. } => &[],
        }
    }

    /// Returns the values of the patches; none of a text.
    pub(super) const fn patches(&self) -> &'a [f32] {
        match self.tokens {
            RowTokens::Ids(_) => &[],
            RowTokens::Patches { values, .. } => values,
        }
    }

    /// Returns the place of the token whose vector a pooling takes as it is; `None` for a pooling
    /// that makes one of several.
    pub(super) fn chosen(&self, pooling: Pooling) -> Option<usize> {
        let place = match pooling {
            Pooling::Cls => Some(self.unpooled),
            Pooling::LastToken => self.len().checked_sub(1),
            Pooling::LastTokenBut(id) => self.ids().iter().rposition(|found| *found != id),
            Pooling::FirstOf(id) => self.ids().iter().position(|found| *found == id),
            Pooling::GreatestId => {
                // Of equal ones the last that is looked at.
                let backwards = self.ids().iter().enumerate().rev();
                backwards.max_by_key(|(_, id)| **id).map(|(place, _)| place)
            }
            Pooling::Mean | Pooling::Max | Pooling::MeanSqrtLen | Pooling::WeightedMean => {
                return None;
            }
        };
        Some(place.unwrap_or(0))
    }
}

/// One row and the heads that are applied to it. The layers are computed once for all of them.
#[derive(Clone, Copy, Debug)]
pub struct HeadedRow<'a> {
    /// The row.
    pub row: RowInput<'a>,
    /// Its heads, each of which gives a result.
    pub heads: &'a [&'a LoadedHead],
}

impl<'a> HeadedRow<'a> {
    /// Returns rows that have the same heads.
    pub fn all(rows: &[RowInput<'a>], heads: &'a [&'a LoadedHead]) -> Vec<Self> {
        rows.iter().map(|&row| Self { row, heads }).collect()
    }
}

impl<'a> From<&'a TokenIds> for RowInput<'a> {
    fn from(row: &'a TokenIds) -> Self {
        Self {
            tokens: RowTokens::Ids(row.as_slice()),
            types: row.types(),
            unpooled: row.unpooled(),
            unattended: row.unattended(),
            dropped: row.dropped(),
        }
    }
}

/// A row that cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// No tokens.
    #[error("row has no tokens: its text is empty, and the model puts no special tokens around it")]
    Empty,
    /// More tokens than the model takes.
    #[error("row has {tokens} tokens, the model takes at most {limit}")]
    TooLong {
        /// Tokens in the row.
        tokens: usize,
        /// The model's limit.
        limit: usize,
    },
    /// An image for a model of texts, a text for one of images, or an image of another size.
    #[error(
        "row has {values} values of patches in {tokens} tokens, the model takes {expected} in \
         {limit}"
    )]
    OtherPatches {
        /// Values of all patches; 0 of a text.
        values: usize,
        /// Tokens in the row.
        tokens: usize,
        /// The values that the model takes; 0 for one of texts.
        expected: usize,
        /// The tokens that the model takes at most.
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
    /// No token is left to be pooled.
    #[error("{unpooled} of the row's {tokens} tokens are left out of pooling, and none is left")]
    NothingPooled {
        /// Tokens left out.
        unpooled: usize,
        /// Tokens in the row.
        tokens: usize,
    },
    /// No token is attended to.
    #[error("no token attends to {unattended} of the row's {tokens} tokens, and none is left")]
    NothingAttended {
        /// Tokens that are not attended to.
        unattended: usize,
        /// Tokens in the row.
        tokens: usize,
    },
    /// Types that are not those of the row's tokens.
    #[error("row has {types} token types for {tokens} tokens")]
    TypesOfOtherLength {
        /// Types given.
        types: usize,
        /// Tokens in the row.
        tokens: usize,
    },
    /// A token type that the model does not have.
    #[error("token type {found} is not one of the model's {types}")]
    UnknownType {
        /// The type.
        found: u32,
        /// Number of types.
        types: usize,
    },
}

/// Refuses a row that would make the computation fail.
pub(super) fn check(row: RowInput<'_>, config: &ModelConfig) -> Result<(), RowError> {
    let RowInput {
        tokens: _,
        types,
        unpooled,
        unattended,
        dropped: _,
    } = row;
    let (ids, len) = (row.ids(), row.len());
    let is_static = config.architecture.layers.is_empty();
    if len == 0 {
        // Of static embeddings the mean of nothing is 0.
        return if is_static {
            Ok(())
        } else {
            Err(RowError::Empty)
        };
    }
    let patches = config.architecture.embedding.patches();
    let expected = patches.map_or(0, |patches| patches.patches() * patches.patch_values());
    let is_whole = patches.is_none_or(|patches| len == patches.tokens());
    if row.patches().len() != expected || !is_whole {
        return Err(RowError::OtherPatches {
            values: row.patches().len(),
            tokens: len,
            expected,
            limit: config.max_tokens,
        });
    }
    if len > config.max_tokens {
        return Err(RowError::TooLong {
            tokens: len,
            limit: config.max_tokens,
        });
    }
    if unpooled >= len {
        return Err(RowError::NothingPooled {
            unpooled,
            tokens: len,
        });
    }
    if unattended >= len {
        return Err(RowError::NothingAttended {
            unattended,
            tokens: len,
        });
    }
    if !types.is_empty() && types.len() != len {
        return Err(RowError::TypesOfOtherLength {
            types: types.len(),
            tokens: len,
        });
    }
    let known = config.architecture.embedding.tokens();
    let known = known.and_then(|tokens| tokens.types.as_ref());
    let known = known.map_or(usize::MAX, |types| types.len());
    if let Some(&found) = types.iter().find(|&&of_token| of_token as usize >= known) {
        return Err(RowError::UnknownType {
            found,
            types: known,
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
