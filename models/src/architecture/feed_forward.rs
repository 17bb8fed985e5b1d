//! The part of a layer that computes each token by itself.

pub use motet_kernels::Activation;

use super::{Linear, TensorRef};

/// The feed-forward part of a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedForward {
    /// `down(activation(up(x)))`
    Plain {
        /// To the inner size, mostly four times the hidden one.
        up: Linear,
        /// On each inner value.
        activation: Activation,
        /// Back to the hidden size.
        down: Linear,
    },
    /// `down(activation(gate(x)) * up(x))`
    Gated {
        /// To the inner size, before the activation.
        gate: Linear,
        /// To the inner size.
        up: Linear,
        /// On each value of the gate.
        activation: Activation,
        /// Back to the hidden size.
        down: Linear,
    },
}

impl FeedForward {
    /// Returns the length of the vectors between the products.
    pub fn inner(&self) -> usize {
        match self {
            Self::Plain { up, .. } | Self::Gated { up, .. } => up.outputs(),
        }
    }

    pub(super) fn tensors(&self) -> Vec<&TensorRef> {
        let (gate, up, down) = match self {
            Self::Plain { up, down, .. } => (None, up, down),
            Self::Gated { gate, up, down, .. } => (Some(gate), up, down),
        };
        let linears = gate.into_iter().chain([up, down]);
        linears.flat_map(Linear::tensors).collect()
    }
}
