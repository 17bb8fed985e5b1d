//! Texts whose tokens are all encoded, in as many rows as it takes.

use std::ops::Range;

use motet_models::classification::{best_windows, windows};
use motet_models::{SpanToken, TokenIds, Tokenizer, TokenizerError};

/// A text in rows that overlap.
#[derive(Clone, Debug)]
pub(crate) struct WindowedText {
    /// Places of the tokens, in characters of the text.
    pub(crate) places: Vec<SpanToken>,
    /// The tokens of each row.
    windows: Vec<Range<usize>>,
    /// Special tokens at the beginning of each row.
    before: usize,
}

impl WindowedText {
    /// Returns a text and its rows of at most `max_tokens` tokens, special tokens included, for one
    /// of the text at least.
    ///
    /// # Errors
    /// Only what the tokenizer library refuses.
    pub(crate) fn new(
        text: &str,
        tokenizer: &Tokenizer,
        max_tokens: usize,
    ) -> Result<(Self, Vec<TokenIds>), TokenizerError> {
        let tokens = tokenizer.text_tokens(text)?;
        let room = max_tokens.saturating_sub(tokenizer.special_tokens()).max(1);
        let windows = windows(tokens.ids.len(), room);
        let rows = windows.iter();
        let rows = rows.map(|window| tokenizer.row_of(&tokens.ids[window.clone()]));
        let rows = rows.collect();
        let text = Self {
            places: tokens.places,
            windows,
            before: tokenizer.tokens_before(),
        };
        Ok((text, rows))
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.windows.len()
    }

    /// Returns for each token the row with the most tokens around it, and the place there.
    pub(crate) fn best_rows(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        best_windows(&self.windows).map(|(row, at)| (row, self.before + at))
    }
}
