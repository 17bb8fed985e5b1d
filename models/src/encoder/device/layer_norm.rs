//! Layer norm: each token's vector to mean 0 and variance 1, then scaled and shifted.

use candle_core::{Result, Tensor};

use super::placement::Placement;
use crate::architecture;
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
        placement: &Placement<'_>,
        norm: &architecture::Norm,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            scale: placement.get(&norm.scale)?,
            shift: placement.get(&norm.shift)?,
            eps: norm.eps,
        })
    }

    /// `[T, H]` to `[T, H]`
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(x, &self.scale, &self.shift, self.eps)
    }
}
