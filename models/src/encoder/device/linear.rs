//! A matrix product with a weight, and its bias if it has one.

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
    bias: Option<Tensor>,
}

impl Linear {
    pub(super) fn load(
        placement: &Placement<'_>,
        linear: &architecture::Linear,
    ) -> std::result::Result<Self, LoadError> {
        let (weight, bias) = placement.stack(&[linear])?;
        Self::new(placement, linear.inputs(), weight, bias)
    }

    /// From values on the host: `weight` is `[O, I]` row-major, `bias` is `[O]`.
    pub(super) fn new(
        placement: &Placement<'_>,
        inputs: usize,
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> std::result::Result<Self, LoadError> {
        let outputs = weight.len() / inputs;
        let transposed = |weight: Tensor| weight.t()?.contiguous();
        let bias = bias.map(|bias| placement.place(bias, &[outputs]));
        Ok(Self {
            weight: placement.place_with(weight, &[outputs, inputs], transposed)?,
            bias: bias.transpose()?,
        })
    }

    /// `x W^T + b`: `[T, I]` to `[T, O]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let product = x.matmul(&self.weight)?;
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }
}
