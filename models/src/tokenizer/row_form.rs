//! Rows of families that have their own rules for what becomes of a text.

use serde::Deserialize;
use tokenizers::ModelWrapper;

use super::TruncationSide;
use crate::architecture::TextRows;

/// The rules, with the tokens that they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowForm {
    Usual,
    Bare,
    Known {
        /// The token of text that the vocabulary has not.
        unknown: Option<u32>,
        /// Characters of a token, as the median of the vocabulary.
        median: usize,
    },
    Padded {
        with: u32,
    },
}

impl RowForm {
    /// `padding` is the token that pads rows, if the tokenizer's files name it.
    pub(super) fn new(
        rows: TextRows,
        library: &tokenizers::Tokenizer,
        padding: Option<&str>,
    ) -> Self {
        match rows {
            TextRows::Usual => Self::Usual,
            TextRows::Bare => Self::Bare,
            TextRows::Known => Self::Known {
                unknown: unknown(library),
                median: median(library),
            },
            TextRows::Padded { otherwise } => Self::Padded {
                with: padding
                    .and_then(|token| library.token_to_id(token))
                    .unwrap_or(otherwise),
            },
        }
    }

    /// Returns whether rows have special tokens.
    pub(super) fn has_specials(self) -> bool {
        matches!(self, Self::Usual | Self::Padded { .. })
    }

    /// Returns what is left of a prompt and a text where characters are cut before there are
    /// tokens, for a row of at most `room` tokens that is cut on the right; `None` if nothing is
    /// cut.
    pub(super) fn within<'t>(
        self,
        prompt: &'t str,
        text: &'t str,
        room: usize,
        side: TruncationSide,
    ) -> Option<(&'t str, &'t str)> {
        let (Self::Known { median, .. }, TruncationSide::Right) = (self, side) else {
            return None;
        };
        let most = room.saturating_mul(median);
        // A character has a byte at least.
        if prompt.len() + text.len() <= most {
            return None;
        }
        if let Some((end, _)) = prompt.char_indices().nth(most) {
            return Some((&prompt[..end], ""));
        }
        let left = most - prompt.chars().count();
        let (end, _) = text.char_indices().nth(left)?;
        Some((prompt, &text[..end]))
    }

    /// Takes out unknown tokens, if rows are without them.
    pub(super) fn leave_known(self, ids: &mut Vec<u32>) {
        if let Self::Known {
            unknown: Some(unknown),
            ..
        } = self
        {
            ids.retain(|id| *id != unknown);
        }
    }

    /// Fills a row up to `limit` tokens, if rows are filled.
    pub(super) fn pad(self, ids: &mut Vec<u32>, limit: usize) {
        if let Self::Padded { with } = self {
            ids.resize(limit.max(ids.len()), with);
        }
    }
}

/// Returns the token that a library's model makes of text that it has no token for.
fn unknown(library: &tokenizers::Tokenizer) -> Option<u32> {
    let named = |token: Option<&String>| token.and_then(|token| library.token_to_id(token));
    match library.get_model() {
        ModelWrapper::WordPiece(model) => named(Some(&model.unk_token)),
        ModelWrapper::WordLevel(model) => named(Some(&model.unk_token)),
        ModelWrapper::BPE(model) => named(model.unk_token.as_ref()),
        ModelWrapper::Unigram(model) => {
            #[derive(Deserialize)]
            struct Written {
                unk_id: Option<u32>,
            }
            // It tells only where it is written.
            let written = serde_json::to_value(model).ok()?;
            serde_json::from_value::<Written>(written).ok()?.unk_id
        }
    }
}

/// Returns the median of the numbers of characters of all tokens, rounded down.
fn median(library: &tokenizers::Tokenizer) -> usize {
    let vocabulary = library.get_vocab(true);
    let mut lengths: Vec<usize> = vocabulary.keys().map(|it| it.chars().count()).collect();
    lengths.sort_unstable();
    let half = lengths.len() / 2;
    match lengths[..] {
        [] => 0,
        _ if lengths.len().is_multiple_of(2) => (lengths[half - 1] + lengths[half]) / 2,
        _ => lengths[half],
    }
}
