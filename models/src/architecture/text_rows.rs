//! Rules by which texts become rows.

/// The tokens of a text's row, and what is around them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextRows {
    /// Those of the text, with the special tokens that the tokenizer puts around it.
    #[default]
    Usual,
    /// Those of the text alone.
    Bare,
    /// Those of the text alone, as model2vec has them: a text is first cut to as many characters as
    /// the limit of tokens would take if all were of median length; unknown tokens are left out of
    /// those within the limit.
    Known,
    /// As usual, then up to the limit the token that pads rows, to which the others attend.
    Padded {
        /// The token where the tokenizer's files name none.
        otherwise: u32,
    },
}
