//! Layer norm: each token's vector to mean 0 and variance 1, then scaled and shifted.

use candle_core::{Result, Tensor};

use crate::config::BertConfig;
use crate::encoder::weights::Weights;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct LayerNorm {
    /// `[H]`
    scale: Tensor,
    /// `[H]`
    shift: Tensor,
    eps: f32,
}

impl LayerNorm {
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &BertConfig,
        name: &str,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            scale: weights.get(&format!("{name}.weight"), &[config.hidden_size])?,
            shift: weights.get(&format!("{name}.bias"), &[config.hidden_size])?,
            eps: config.layer_norm_eps,
        })
    }

    /// `[T, H]` to `[T, H]`
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(x, &self.scale, &self.shift, self.eps)
    }
}
