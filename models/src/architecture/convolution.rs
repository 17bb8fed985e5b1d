//! A convolution over neighbouring tokens.

use super::{Activation, Norm, TensorRef};

/// A convolution of the vectors that enter the first layer, added to those that leave it:
/// `x = norm(layer(x) + activation(convolution(x)))`. Beyond the ends of a row are zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// `[hidden, hidden, kernel]`: the product with each of the neighbours, in the order of the
    /// row. There is an odd number of them; the one in the middle is the token itself.
    pub weight: TensorRef,
    /// `[hidden]`
    pub bias: TensorRef,
    /// On each value of the result.
    pub activation: ConvolutionActivation,
    /// The norm of the sum.
    pub norm: Norm,
}

/// A function on the values of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvolutionActivation {
    /// The hyperbolic tangent.
    Tanh,
    /// One of those of feed-forward.
    Other(Activation),
}

impl Convolution {
    /// Returns the number of neighbours that a result is made of, the token itself included.
    pub fn kernel(&self) -> usize {
        self.weight.shape[2]
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = &TensorRef> {
        [&self.weight, &self.bias]
            .into_iter()
            .chain(self.norm.tensors())
    }
}
