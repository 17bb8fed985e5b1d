//! The feed-forward part of a layer: products with an activation between, and for some families a
//! gate.

use candle_core::{Result, Tensor};

use super::linear::Linear;
use super::placement::Placement;
use crate::architecture::{self, Activation};
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct FeedForward {
    /// The product with the activation.
    activated: Linear,
    activation: Activation,
    /// The product whose values those are multiplied with.
    factors: Option<Linear>,
    down: Linear,
}

impl FeedForward {
    pub(super) fn load(
        placement: &Placement<'_>,
        feed_forward: &architecture::FeedForward,
    ) -> std::result::Result<Self, LoadError> {
        use architecture::FeedForward::{Gated, Plain};
        let (activated, factors, activation, down) = match feed_forward {
            Plain {
                up,
                activation,
                down,
            } => (up, None, activation, down),
            Gated {
                gate,
                up,
                activation,
                down,
            } => (gate, Some(up), activation, down),
        };
        let factors = factors.map(|factors| Linear::load(placement, factors));
        Ok(Self {
            activated: Linear::load(placement, activated)?,
            activation: *activation,
            factors: factors.transpose()?,
            down: Linear::load(placement, down)?,
        })
    }

    /// `[T, H]` to `[T, H]`, by way of `[T, I]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = activate(self.activation, &self.activated.forward(x)?)?;
        let inner = match &self.factors {
            Some(factors) => (inner * factors.forward(x)?)?,
            None => inner,
        };
        self.down.forward(&inner)
    }
}

/// Computes an activation of each value.
pub(super) fn activate(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
        Activation::Silu => x.silu(),
        Activation::Relu => x.relu(),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn activations_are_those_of_their_names() {
        for (activation, expected) in [
            (Activation::Gelu, [-0.158_655, 0.0, 0.841_345, 2.995_95]),
            (
                Activation::GeluTanh,
                [-0.158_808, 0.0, 0.841_192, 2.996_363],
            ),
            (
                Activation::QuickGelu,
                [-0.154_204, 0.0, 0.845_796, 2.981_929],
            ),
            (Activation::Silu, [-0.268_941, 0.0, 0.731_059, 2.857_722]),
            (Activation::Relu, [0.0, 0.0, 1.0, 3.0]),
        ] {
            let x = Tensor::new(&[-1.0_f32, 0.0, 1.0, 3.0], &Device::Cpu).unwrap();
            let found: Vec<f32> = activate(activation, &x).unwrap().to_vec1().unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 2e-6,
                    "{activation:?}: {found} {expected}"
                );
            }
        }
    }
}
