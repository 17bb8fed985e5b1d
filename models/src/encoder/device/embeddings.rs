//! Token ids to the vectors that enter the first layer.

use candle_core::{DType, Result, Tensor};

use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::pack::Pack;
use super::placement::Placement;
use crate::architecture::{Counting, TokenEmbedding};
use crate::encoder::tables;
use crate::error::LoadError;

/// Word and position tables, the norm after their sum, and the product after the norm.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// `[V, E]`
    words: Tensor,
    /// `[P, E]`, see [`tables::positions`].
    positions: Tensor,
    counting: Counting,
    norm: LayerNorm,
    /// `[E]` to `[H]`
    projection: Option<Linear>,
}

impl Embeddings {
    pub(super) fn load(
        placement: &Placement<'_>,
        embedding: &TokenEmbedding,
    ) -> std::result::Result<Self, LoadError> {
        let positions = tables::positions(placement.checkpoint, embedding)?;
        let shape = [embedding.positions.len(), embedding.positions.row_size()];
        Ok(Self {
            words: placement.get(&embedding.words)?,
            positions: placement.place(positions, &shape)?,
            counting: embedding.counting,
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

    /// Returns how the tokens of a row are counted.
    pub(super) fn counting(&self) -> Counting {
        self.counting
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
