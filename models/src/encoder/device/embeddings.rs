//! Token ids to the vectors that enter the first layer.

use candle_core::{DType, Result, Tensor};

use super::layer_norm::LayerNorm;
use super::pack::Pack;
use super::placement::Placement;
use crate::architecture::TokenEmbedding;
use crate::encoder::tables;
use crate::error::LoadError;

/// Word and position tables, and the norm after their sum.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// `[V, H]`
    words: Tensor,
    /// `[P, H]`, see [`tables::positions`].
    positions: Tensor,
    norm: LayerNorm,
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
            norm: LayerNorm::load(placement, &embedding.norm)?,
        })
    }

    /// Returns the type that the encoder computes in.
    pub(super) fn dtype(&self) -> DType {
        self.words.dtype()
    }

    /// `[T, H]`
    pub(super) fn forward(&self, pack: &Pack) -> Result<Tensor> {
        let words = self.words.index_select(&pack.ids, 0)?;
        let positions = self.positions.index_select(&pack.positions, 0)?;
        self.norm.forward(&(words + positions)?)
    }
}
