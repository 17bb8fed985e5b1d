//! Token ids to the vectors that enter the first layer.

use super::{Norm, TensorRef};

/// The sum of a vector of the word, one of its position and one of its type, then a norm.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEmbedding {
    /// The vector of each token id, `[vocabulary, hidden]`.
    pub words: TensorRef,
    /// The vector of each position of a row, from the first token's on, `[max tokens, hidden]`. A
    /// family that begins to count at 2 leaves out the first two rows of its table.
    pub positions: TensorRef,
    /// The vector of each token type, `[types, hidden]`; `None` for a family without types.
    pub types: Option<TensorRef>,
    /// The norm of the sum.
    pub norm: Norm,
}

impl TokenEmbedding {
    pub(super) fn tensors(&self) -> Vec<&TensorRef> {
        let tables = [&self.words, &self.positions];
        let tables = tables.into_iter().chain(&self.types);
        tables.chain(self.norm.tensors()).collect()
    }
}
