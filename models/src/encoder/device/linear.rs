//! A matrix product with a weight, and its bias.

use candle_core::{Result, Tensor};

use super::placement::Placement;
use crate::architecture;
use crate::error::LoadError;

/// Weight and bias of `y = x W^T + b`.
#[derive(Debug)]
pub(super) struct Linear {
    /// `[I, O]`: a view of the stored `[O, I]`.
    weight: Tensor,
    /// `[O]`
    bias: Tensor,
}

impl Linear {
    pub(super) fn load(
        placement: &Placement<'_>,
        linear: &architecture::Linear,
    ) -> std::result::Result<Self, LoadError> {
        let (weight, bias) = placement.stack(&[linear])?;
        Self::new(placement, weight, bias)
    }

    /// From values on the host: `weight` is `[O, I]` row-major, `bias` is `[O]`.
    pub(super) fn new(
        placement: &Placement<'_>,
        weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> std::result::Result<Self, LoadError> {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        let transposed = |weight: Tensor| weight.t()?.contiguous();
        Ok(Self {
            weight: placement.place_with(weight, &[outputs, inputs], transposed)?,
            bias: placement.place(bias, &[outputs])?,
        })
    }

    /// `x W^T + b`: `[T, I]` to `[T, O]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}
