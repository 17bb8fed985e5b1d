//! The feed-forward part of a layer: two matrix products with a GELU between.

use candle_core::{Result, Tensor};

use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::placement::Placement;
use crate::architecture::{self, Activation};
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct FeedForward {
    up: Linear,
    down: Linear,
    norm: LayerNorm,
}

impl FeedForward {
    pub(super) fn load(
        placement: &Placement<'_>,
        feed_forward: &architecture::FeedForward,
        norm: &architecture::Norm,
    ) -> std::result::Result<Self, LoadError> {
        let architecture::FeedForward::Plain {
            up,
            activation: Activation::Gelu,
            down,
        } = feed_forward;
        Ok(Self {
            up: Linear::load(placement, up)?,
            down: Linear::load(placement, down)?,
            norm: LayerNorm::load(placement, norm)?,
        })
    }

    /// `[T, H]` to `[T, H]`, by way of `[T, I]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.up.forward(x)?.gelu_erf()?;
        self.norm.forward(&(self.down.forward(&inner)? + x)?)
    }
}
