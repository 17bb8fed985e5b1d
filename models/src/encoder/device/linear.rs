//! A matrix product with a weight, and its bias.

use candle_core::{Result, Tensor};

use crate::encoder::weights::Weights;
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
    /// Reads `NAME.weight` `[outputs, inputs]` and `NAME.bias` `[outputs]`.
    pub(super) fn load(
        weights: &Weights<'_>,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> std::result::Result<Self, LoadError> {
        let (weight, bias) = weights.linear(name, inputs, outputs)?;
        Self::new(weights, weight, bias)
    }

    /// From values on the host: `weight` is `[O, I]` row-major, `bias` is `[O]`.
    pub(super) fn new(
        weights: &Weights<'_>,
        weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> std::result::Result<Self, LoadError> {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        let transposed = |weight: Tensor| weight.t()?.contiguous();
        Ok(Self {
            weight: weights.place_with(weight, &[outputs, inputs], transposed)?,
            bias: weights.place(bias, &[outputs])?,
        })
    }

    /// `x W^T + b`: `[T, I]` to `[T, O]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}
