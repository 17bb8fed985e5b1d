//! Values that are added to the scores of attention, by how far a key is from the query.

use candle_core::{Result, Tensor};

use super::groups::STEP;
use super::placement::Placement;
use crate::architecture::{self, Architecture};
use crate::encoder::tables;
use crate::error::LoadError;

/// The values of a model, the same in all layers.
#[derive(Debug)]
pub(super) struct PositionBias {
    /// Those of each distance, the key's position less the query's, from `1 - reach` on:
    /// `[2 reach - 1, heads]`.
    values: Tensor,
    /// Most tokens of a padded row.
    reach: usize,
}

impl PositionBias {
    pub(super) fn load(
        placement: &Placement<'_>,
        architecture: &Architecture,
        bias: &architecture::PositionBias,
    ) -> std::result::Result<Self, LoadError> {
        let (table, buckets) = tables::position_bias(placement.checkpoint, bias)?;
        let heads = architecture.heads();
        let reach = architecture.max_tokens.next_multiple_of(STEP);
        let values = (0..2 * reach - 1).flat_map(|at| {
            let bucket = buckets.of(at as isize - (reach as isize - 1));
            &table[bucket * heads..][..heads]
        });
        let values = values.copied().collect();
        Ok(Self {
            values: placement.place(values, &[2 * reach - 1, heads])?,
            reach,
        })
    }

    /// Returns the values of rows of `tokens` tokens, `[1, heads, tokens, tokens]`.
    pub(super) fn of(&self, tokens: usize) -> Result<Tensor> {
        let device = self.values.device();
        let positions = Tensor::arange(0, tokens as u32, device)?;
        let keys = positions.reshape((1, tokens))?;
        // Distances are counted from the least: `reach - 1 - query + key`.
        let least = Tensor::new(self.reach as u32 - 1, device)?;
        let queries = least.broadcast_sub(&positions)?.reshape((tokens, 1))?;
        let distances = queries.broadcast_add(&keys)?;
        self.values
            .index_select(&distances.flatten_all()?, 0)?
            .reshape((tokens, tokens, ()))?
            .permute((2, 0, 1))?
            .unsqueeze(0)
    }
}
