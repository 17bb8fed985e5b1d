//! Token ids to the vectors that enter the first layer.

use candle_core::{DType, Result, Tensor};

use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::pack::Pack;
use super::placement::Placement;
use crate::architecture::TokenEmbedding;
use crate::encoder::tables::PositionTypes;
use crate::error::LoadError;

/// Word and position tables, the norm after their sum, and the product after the norm.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// `[V, E]`
    words: Tensor,
    /// Of positions and types, `[rows, E]`.
    positions: Tensor,
    position_types: PositionTypes,
    norm: LayerNorm,
    /// `[E]` to `[H]`
    projection: Option<Linear>,
}

impl Embeddings {
    pub(super) fn load(
        placement: &Placement<'_>,
        embedding: &TokenEmbedding,
    ) -> std::result::Result<Self, LoadError> {
        let position_types = PositionTypes::of(embedding);
        let positions = position_types.load(placement.checkpoint, embedding)?;
        let shape = [position_types.rows(), embedding.size()];
        Ok(Self {
            words: placement.get(&embedding.words)?,
            positions: placement.place(positions, &shape)?,
            position_types,
            norm: LayerNorm::load(placement, &embedding.norm)?,
            projection: embedding
                .projection
                .as_ref()
                .map(|projection| Linear::load(placement, projection))
                .transpose()?,
        })
    }

    /// Returns the type that the encoder computes in.
    pub(super) fn dtype(&self) -> DType {
        self.words.dtype()
    }

    /// Returns which rows of the table of positions and types tokens take.
    pub(super) fn position_types(&self) -> PositionTypes {
        self.position_types
    }

    /// `[T, H]`
    pub(super) fn forward(&self, pack: &Pack) -> Result<Tensor> {
        let words = self.words.index_select(&pack.ids, 0)?;
        let positions = self.positions.index_select(&pack.positions, 0)?;
        let sums = self.norm.forward(&(words + positions)?)?;
        match &self.projection {
            Some(projection) => projection.forward(&sums),
            None => Ok(sums),
        }
    }
}
