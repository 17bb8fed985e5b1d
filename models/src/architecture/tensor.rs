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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The encoder: its names follow the encoder's prefix, such as `bert.`.
    Encoder,
    /// The encoder, whole numbers and 64-bit floats, too. Elsewhere whole numbers are codes of a
    /// quantization, which are not the values.
    Numbers,
    /// The model around the encoder: names such as `classifier.weight`.
    Model,
    /// The weights of a module of sentence-transformers, in the module's own folder.
    Folder(String),
    /// A file that has the weights of a head by itself.
    File(String),
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
            weight: self.weight.in_scope(scope.clone()),
            bias: self.bias.map(|bias| bias.in_scope(scope)),
        }
    }

    /// Returns the products that a checkpoint stores as this one: its outputs in parts of these
    /// sizes, one after the other.
    pub fn split<const N: usize>(&self, sizes: [usize; N]) -> [Self; N] {
        let mut first = 0;
        sizes.map(|size| {
            let rows = first..first + size;
            first = rows.end;
            Self {
                weight: self.weight.clone().with_rows(rows.clone()),
                bias: self.bias.clone().map(|bias| bias.with_rows(rows)),
            }
        })
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

/// A norm of vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Steps on a vector before it is scaled.
    pub kind: NormKind,
    /// `[size]`
    pub scale: TensorRef,
    /// Added to each value of `scale`: 1 where a file holds how far the scale is from 1.
    pub scale_offset: f32,
    /// `[size]`; nothing is added without it.
    pub shift: Option<TensorRef>,
    /// Added to the variance, or to the mean square.
    pub eps: f32,
}

/// The kinds of norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// A layer norm: to mean 0 and variance 1.
    Layer,
    /// An RMS norm: to mean square 1.
    Rms,
}

impl Norm {
    /// Returns the layer norm with `NAME.weight` and `NAME.bias`.
    pub fn layer(name: &str, size: usize, eps: f32) -> Self {
        Self {
            kind: NormKind::Layer,
            shift: Some(TensorRef::new(format!("{name}.bias"), &[size])),
            ..Self::rms(name, size, eps)
        }
    }

    /// Returns the RMS norm with `NAME.weight`.
    pub fn rms(name: &str, size: usize, eps: f32) -> Self {
        Self {
            kind: NormKind::Rms,
            scale: TensorRef::new(format!("{name}.weight"), &[size]),
            scale_offset: 0.0,
            shift: None,
            eps,
        }
    }

    /// Returns the norm without a shift.
    #[must_use]
    pub fn without_shift(self) -> Self {
        Self {
            shift: None,
            ..self
        }
    }

    /// Returns the norm with its tensors in another part of the checkpoint.
    #[must_use]
    pub fn in_scope(self, scope: Scope) -> Self {
        Self {
            scale: self.scale.in_scope(scope.clone()),
            shift: self.shift.map(|shift| shift.in_scope(scope)),
            ..self
        }
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = &TensorRef> {
        std::iter::once(&self.scale).chain(&self.shift)
    }
}
