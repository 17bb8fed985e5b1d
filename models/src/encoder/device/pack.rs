//! Rows of a batch put one after another, without padding.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};

use crate::encoder::RowInput;

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
    /// There must be one at least.
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
