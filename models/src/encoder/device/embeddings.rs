//! Token ids to the vectors that enter the first layer.

use candle_core::{DType, Result, Tensor};

use super::layer_norm::LayerNorm;
use super::pack::Pack;
use crate::config::BertConfig;
use crate::encoder::weights::{self, Weights};
use crate::error::LoadError;

/// Word and position tables, and the norm after their sum.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// `[V, H]`
    words: Tensor,
    /// `[P, H]`, see [`Weights::positions`].
    positions: Tensor,
    norm: LayerNorm,
}

impl Embeddings {
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &BertConfig,
    ) -> std::result::Result<Self, LoadError> {
        let hidden = config.hidden_size;
        let positions_shape = [config.max_position_embeddings, hidden];
        Ok(Self {
            words: weights.get(weights::WORDS, &[config.vocab_size, hidden])?,
            positions: weights.place(weights.positions(config)?, &positions_shape)?,
            norm: LayerNorm::load(weights, config, weights::EMBEDDINGS_NORM)?,
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
