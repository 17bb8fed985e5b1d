//! The memory that a group of rows is computed in, used again for the next.

use std::sync::{Mutex, PoisonError};

use crate::aligned::Aligned;
use crate::blocked::ColumnBlocks;
use crate::gemm::int8::QuantizedActivations;

/// Memory for the forward pass of some tokens.
#[derive(Debug)]
pub struct Scratch {
    /// Number of tokens.
    pub tokens: usize,
    /// How the model's vectors are cut into blocks.
    pub columns: ColumnBlocks,
    /// The tokens' vectors between layers, `[T, H]`.
    pub x: Aligned<f32>,
    /// The vectors that enter a part of a layer, where these are not the residual: `[T, H]`.
    pub normed: Aligned<f32>,
    /// Intermediate values of a layer: queries, keys and values, then those of the feed-forward
    /// part, `[T, I]` or two of these.
    pub intermediate: Aligned<f32>,
    /// Addend of the scores of attention, where it depends on the tokens.
    pub scores: Aligned<f32>,
    /// The left side of a product of bytes.
    pub quantized_lhs: QuantizedActivations,
    /// Mean and factor of each token between the steps of a norm.
    pub statistics: Aligned<f32>,
}

/// Scratch memory that is not in use: as many as were ever used at once.
#[derive(Debug)]
pub struct ScratchPool {
    columns: ColumnBlocks,
    free: Mutex<Vec<Scratch>>,
}

impl ScratchPool {
    /// Returns an empty pool for vectors cut as `columns`.
    pub fn new(columns: ColumnBlocks) -> Self {
        Self {
            columns,
            free: Mutex::default(),
        }
    }

    /// Runs `work` with memory for `tokens` tokens.
    pub fn with<T>(&self, tokens: usize, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let columns = self.columns;
        let lent = free().pop();
        let mut scratch = lent.unwrap_or_else(|| Scratch {
            tokens,
            columns,
            x: Aligned::default(),
            normed: Aligned::default(),
            intermediate: Aligned::default(),
            scores: Aligned::default(),
            quantized_lhs: QuantizedActivations::default(),
            statistics: Aligned::default(),
        });
        scratch.tokens = tokens;
        scratch.x.resize(tokens * columns.count);
        let done = work(&mut scratch);
        free().push(scratch);
        done
    }
}
