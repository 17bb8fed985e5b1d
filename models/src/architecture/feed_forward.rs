//! The part of a layer that computes each token by itself.

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
}

/// A function on each value between two products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Phi(x)`, with the exact distribution function of the normal distribution.
    Gelu,
}

impl FeedForward {
    /// Returns the length of the vectors between the products.
    pub fn inner(&self) -> usize {
        let Self::Plain { up, .. } = self;
        up.outputs()
    }

    pub(super) fn tensors(&self) -> Vec<&TensorRef> {
        let Self::Plain { up, down, .. } = self;
        [up, down].into_iter().flat_map(Linear::tensors).collect()
    }
}
