//! Self-attention.

use super::{Linear, TensorRef};

/// Self-attention in heads. Every token reads all tokens of its row; scores are divided by the
/// square root of the head size.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Number of heads.
    pub heads: usize,
    /// Length of the vectors of a head; `heads * head_size` is the hidden size.
    pub head_size: usize,
    /// Queries of all heads, one head after the other.
    pub query: Linear,
    /// Keys of all heads.
    pub key: Linear,
    /// Values of all heads.
    pub value: Linear,
    /// From the heads' results to what is added to the residual.
    pub output: Linear,
}

/// Values that are added to the scores of attention, by how far a key is from the query: a table of
/// buckets of distances as T5 has them, which count keys before and after the query.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionBias {
    /// The value of each bucket for each head, `[buckets, heads]`.
    pub table: TensorRef,
    /// Distance from which on all keys are in the last bucket.
    pub max_distance: usize,
}

impl Attention {
    pub(super) fn tensors(&self) -> Vec<&TensorRef> {
        let all = [&self.query, &self.key, &self.value, &self.output];
        all.into_iter().flat_map(Linear::tensors).collect()
    }
}
