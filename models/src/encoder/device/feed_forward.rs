//! The feed-forward part of a layer: two matrix products with a GELU between.

use candle_core::{Result, Tensor};

use super::layer_norm::LayerNorm;
use super::linear::Linear;
use crate::config::BertConfig;
use crate::encoder::weights::Weights;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct FeedForward {
    up: Linear,
    down: Linear,
    norm: LayerNorm,
}

impl FeedForward {
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &BertConfig,
        layer: &str,
    ) -> std::result::Result<Self, LoadError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            up: Linear::load(
                weights,
                &format!("{layer}.intermediate.dense"),
                hidden,
                inner,
            )?,
            down: Linear::load(weights, &format!("{layer}.output.dense"), inner, hidden)?,
            norm: LayerNorm::load(weights, config, &format!("{layer}.output.LayerNorm"))?,
        })
    }

    /// `[T, H]` to `[T, H]`, by way of `[T, I]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.up.forward(x)?.gelu_erf()?;
        self.norm.forward(&(self.down.forward(&inner)? + x)?)
    }
}
