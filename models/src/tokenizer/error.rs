//! Texts and pairs that cannot be tokenized.

/// A text that cannot be tokenized. No such text is known for the supported tokenizers, but the
/// library's interface allows for it.
#[derive(Debug, thiserror::Error)]
#[error("text cannot be tokenized: {reason}")]
pub struct TokenizerError {
    /// The message of the tokenizer library.
    pub reason: String,
}

impl TokenizerError {
    pub(super) fn new(cause: impl std::fmt::Display) -> Self {
        Self {
            reason: cause.to_string(),
        }
    }
}

/// A pair that cannot be tokenized.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The library refuses a text.
    #[error(transparent)]
    Text(#[from] TokenizerError),
    /// The first text, which is never cut, leaves no room for a token of the second.
    #[error(
        "the first text of the pair has at least {tokens} tokens; with {special} special tokens \
         and one of the second text at most {} fit into the limit of {limit}",
        limit.saturating_sub(special + 1)
    )]
    FirstTooLong {
        /// Tokens of the first text.
        tokens: usize,
        /// Special tokens of a pair.
        special: usize,
        /// Maximum tokens of a row.
        limit: usize,
    },
    /// The second text, where only the first is cut, leaves no room for a token of it.
    #[error(
        "the second text of the pair has {tokens} tokens; with {special} special tokens and one of \
         the first text at most {} fit into the limit of {limit}",
        limit.saturating_sub(special + 1)
    )]
    SecondTooLong {
        /// Tokens of the second text.
        tokens: usize,
        /// Special tokens of a pair.
        special: usize,
        /// Maximum tokens of a row.
        limit: usize,
    },
    /// The tokenizer does not put two texts into one row.
    #[error("the model's tokenizer has no template for pairs of texts")]
    NoTemplate,
}
