//! What can be wrong with a message.

use crate::tensor::TensorError;
use crate::types::ElementType;

/// Why a message's tensors or parameters cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// One tensor is wrong.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Raw contents for some tensors but not for others.
    #[error("{raw} raw contents do not go with {tensors} tensors: give one for each, or none")]
    RawCount {
        /// Raw contents given.
        raw: usize,
        /// Tensors given.
        tensors: usize,
    },
    /// One parameter is wrong.
    #[error("parameter `{name}` must be {wanted}")]
    Parameter {
        /// Its name.
        name: String,
        /// What it must be.
        wanted: &'static str,
    },
}

impl MessageError {
    pub(super) fn tensor(name: &str, problem: Problem) -> Self {
        Self::Tensor {
            name: name.to_owned(),
            problem,
        }
    }

    /// The tensor or parameter at fault.
    pub fn field(&self) -> &str {
        match self {
            Self::Tensor { name, .. } | Self::Parameter { name, .. } => name,
            Self::RawCount { .. } => "raw_input_contents",
        }
    }
}

/// What is wrong with one tensor of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not a datatype of the protocol.
    #[error("unknown datatype `{0}`")]
    Datatype(String),
    /// A length below zero.
    #[error("shape {0:?} has a negative length")]
    Shape(Vec<i64>),
    /// Given twice.
    #[error("given twice")]
    Twice,
    /// Elements both raw and in lists.
    #[error("has both contents and raw contents")]
    Both,
    /// The type has no list.
    #[error("{} elements must be raw", .0.oip_name())]
    OnlyRaw(ElementType),
    /// Elements in the list of another type.
    #[error("{} elements belong in {wanted}, not in {found}", element.oip_name())]
    WrongList {
        /// The list that is filled.
        found: &'static str,
        /// The list that should be.
        wanted: &'static str,
        /// The element type.
        element: ElementType,
    },
    /// More or fewer elements than the shape asks for.
    #[error("{found} elements do not fill shape {shape:?} of {count}")]
    Count {
        /// Elements given.
        found: usize,
        /// Elements that the shape asks for.
        count: usize,
        /// The shape.
        shape: Vec<usize>,
    },
    /// A number that does not fit the element type.
    #[error("{0} does not fit {oip}", oip = .1.oip_name())]
    Range(String, ElementType),
    /// The buffer is wrong.
    #[error(transparent)]
    Content(#[from] TensorError),
}
