//! References to tensors of a checkpoint, and the building blocks that are made of them.

use std::ops::Range;

/// Rows of a named tensor: all of them, or those of one matrix among several that a checkpoint
/// stores as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef {
    /// Part of the checkpoint that has it.
    pub scope: Scope,
    /// Name of the tensor, without the checkpoint's prefix of this part.
    pub name: String,
    /// Shape of the whole tensor, row-major.
    pub shape: Vec<usize>,
    /// The rows: a range of the first dimension.
    pub rows: Range<usize>,
}

/// Part of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The encoder: its names follow the encoder's prefix, such as `bert.`.
    Encoder,
    /// The model around the encoder: names such as `classifier.weight`.
    Model,
}

impl TensorRef {
    /// Returns all rows of a tensor of the encoder of this shape, which has one dimension or more.
    pub fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        Self {
            scope: Scope::Encoder,
            name: name.into(),
            shape: shape.to_vec(),
            rows: 0..shape[0],
        }
    }

    /// Returns the same tensor with other rows, such as those after the unused first positions.
    #[must_use]
    pub fn with_rows(self, rows: Range<usize>) -> Self {
        Self { rows, ..self }
    }

    /// Returns the same tensor in another part of the checkpoint.
    #[must_use]
    pub fn in_scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the number of values of a row.
    pub fn row_size(&self) -> usize {
        self.shape[1..].iter().product()
    }
}

/// A matrix product with a weight, and its bias: `y = x W^T + b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// `[outputs, inputs]`
    pub weight: TensorRef,
    /// `[outputs]`; nothing is added without it.
    pub bias: Option<TensorRef>,
}

impl Linear {
    /// Returns the product with `NAME.weight` and `NAME.bias`.
    pub fn new(name: &str, inputs: usize, outputs: usize) -> Self {
        Self {
            weight: TensorRef::new(format!("{name}.weight"), &[outputs, inputs]),
            bias: Some(TensorRef::new(format!("{name}.bias"), &[outputs])),
        }
    }

    /// Returns the product without a bias.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// Returns the product with its tensors in another part of the checkpoint.
    #[must_use]
    pub fn in_scope(self, scope: Scope) -> Self {
        Self {
            weight: self.weight.in_scope(scope),
            bias: self.bias.map(|bias| bias.in_scope(scope)),
        }
    }

    /// Returns the number of values of a vector that enters.
    pub fn inputs(&self) -> usize {
        self.weight.row_size()
    }

    /// Returns the number of values of a vector that leaves.
    pub fn outputs(&self) -> usize {
        self.weight.len()
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = &TensorRef> {
        std::iter::once(&self.weight).chain(&self.bias)
    }
}

/// A layer norm: a vector to mean 0 and variance 1, then scaled and shifted.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// `[size]`
    pub scale: TensorRef,
    /// `[size]`
    pub shift: TensorRef,
    /// Added to the variance.
    pub eps: f32,
}

impl Norm {
    /// Returns the layer norm with `NAME.weight` and `NAME.bias`.
    pub fn layer(name: &str, size: usize, eps: f32) -> Self {
        Self {
            scale: TensorRef::new(format!("{name}.weight"), &[size]),
            shift: TensorRef::new(format!("{name}.bias"), &[size]),
            eps,
        }
    }

    pub(super) fn tensors(&self) -> [&TensorRef; 2] {
        [&self.scale, &self.shift]
    }
}
