//! Token ids to the vectors that enter the first layer.

use candle_core::{Result, Tensor};

use super::layer_norm::LayerNorm;
use super::pack::Pack;
use super::weights::Weights;
use crate::config::BertConfig;
use crate::error::LoadError;

/// Word, position and token type tables, and the norm after their sum.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// `[V, H]`
    words: Tensor,
    /// `[P, H]`. The vector of token type 0 is already added: rows are single texts, whose tokens are all of that type.
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
        let mut positions =
            weights.values("embeddings.position_embeddings.weight", &positions_shape)?;
        let types = weights.values(
            "embeddings.token_type_embeddings.weight",
            &[config.type_vocab_size, hidden],
        )?;
        for position in positions.chunks_exact_mut(hidden) {
            for (value, of_type) in position.iter_mut().zip(&types) {
                *value += of_type;
            }
        }
        Ok(Self {
            words: weights.get(
                "embeddings.word_embeddings.weight",
                &[config.vocab_size, hidden],
            )?,
            positions: weights.place(positions, &positions_shape)?,
            norm: LayerNorm::load(weights, config, "embeddings.LayerNorm")?,
        })
    }

    /// `[T, H]`
    pub(super) fn forward(&self, pack: &Pack) -> Result<Tensor> {
        let words = self.words.index_select(&pack.ids, 0)?;
        let positions = self.positions.index_select(&pack.positions, 0)?;
        self.norm.forward(&(words + positions)?)
    }
}
