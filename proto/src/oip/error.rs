//! Errors of messages.

use crate::tensor::TensorError;
use crate::types::ElementType;

/// A message whose tensors or parameters cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A tensor that cannot be read.
    #[error("tensor `{name}`: {error}")]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// The problem.
        error: DecodeError,
    },
    /// Raw contents for some of the tensors only.
    #[error("{raw} raw contents do not go with {tensors} tensors: give one for each, or none")]
    RawCount {
        /// Number of raw contents.
        raw: usize,
        /// Number of tensors.
        tensors: usize,
    },
    /// A parameter of the wrong type.
    #[error("parameter `{name}` must be {wanted}")]
    Parameter {
        /// Name of the parameter.
        name: String,
        /// The type that it must have, with its article.
        wanted: &'static str,
    },
}

impl MessageError {
    pub(super) fn tensor(name: &str, error: DecodeError) -> Self {
        Self::Tensor {
            name: name.to_owned(),
            error,
        }
    }

    /// Returns the tensor, parameter or field at fault.
    pub fn field(&self) -> &str {
        match self {
            Self::Tensor { name, .. } | Self::Parameter { name, .. } => name,
            Self::RawCount { .. } => "raw_input_contents",
        }
    }
}

/// A problem of one tensor of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Datatype that the protocol does not have.
    #[error("unknown datatype `{0}`")]
    Datatype(String),
    /// Shape with a negative length.
    #[error("shape {0:?} has a negative length")]
    Shape(Vec<i64>),
    /// Tensor that is given twice.
    #[error("given twice")]
    Twice,
    /// Elements in raw and in typed form.
    #[error("has both contents and raw contents")]
    Both,
    /// Typed form of an element type that has no list.
    #[error("{} elements must be raw", .0.oip_name())]
    OnlyRaw(ElementType),
    /// Elements in the list of another type.
    #[error("{} elements belong in {wanted}, not in {found}", element.oip_name())]
    WrongList {
        /// List that is filled.
        found: &'static str,
        /// List of the element type.
        wanted: &'static str,
        /// The element type.
        element: ElementType,
    },
    /// More or fewer elements than the shape has.
    #[error("{found} elements do not fill shape {shape:?} of {count}")]
    Count {
        /// Elements in the list.
        found: usize,
        /// Elements of the shape.
        count: usize,
        /// The shape.
        shape: Vec<usize>,
    },
    /// Number outside the range of the element type.
    #[error("{0} does not fit {oip}", oip = .1.oip_name())]
    Range(String, ElementType),
    /// Buffer that does not fit.
    #[error(transparent)]
    Content(#[from] TensorError),
}
