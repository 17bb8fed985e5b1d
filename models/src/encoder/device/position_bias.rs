//! Values that are added to the scores of attention, by how far a key is from the query.

use candle_core::{Device, Result, Tensor};

use super::groups::STEP;
use super::placement::Placement;
use crate::architecture::{self, Architecture};
use crate::encoder::tables::BiasValues;
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
        let values = BiasValues::load(placement.checkpoint, bias)?;
        let heads = architecture.heads();
        let reach = architecture.max_tokens.next_multiple_of(STEP);
        let values =
            (0..2 * reach - 1).flat_map(|at| values.of(at as isize - (reach as isize - 1)));
        let values = values.collect();
        Ok(Self {
            values: placement.place(values, &[2 * reach - 1, heads])?,
            reach,
        })
    }

    /// Returns the values of rows of `tokens` tokens, `[1, heads, tokens, tokens]`.
    pub(super) fn of(&self, tokens: usize) -> Result<Tensor> {
        let distances = distances(tokens, self.reach, self.values.device())?;
        self.values
            .index_select(&distances, 0)?
            .reshape((tokens, tokens, ()))?
            .permute((2, 0, 1))?
            .unsqueeze(0)
    }
}

/// Returns the distance of each key from each query of a row of `tokens` tokens, counted from the
/// least that there is, `1 - reach`: `[tokens * tokens]`, by query, then key.
pub(super) fn distances(tokens: usize, reach: usize, device: &Device) -> Result<Tensor> {
    let positions = Tensor::arange(0, tokens as u32, device)?;
    let keys = positions.reshape((1, tokens))?;
    let least = Tensor::new(reach as u32 - 1, device)?;
    let queries = least.broadcast_sub(&positions)?.reshape((tokens, 1))?;
    queries.broadcast_add(&keys)?.flatten_all()
}
