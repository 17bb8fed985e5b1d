//! Errors of tensors.

use crate::types::{ElementType, MAX_RANK};

/// A buffer that does not fit its type and shape, or an operation that does not fit a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// Buffer that is too short or too long.
    #[error("{found} bytes do not make {element}{shape:?}: expected {expected}")]
    Length {
        /// Bytes in the buffer.
        found: usize,
        /// Bytes needed.
        expected: usize,
        /// The element type.
        element: ElementType,
        /// The shape.
        shape: Vec<usize>,
    },
    /// Byte of a `bool` tensor that is neither 0 nor 1.
    #[error("element {at} is {found}, which is not a bool")]
    Bool {
        /// Index of the element.
        at: usize,
        /// Its byte.
        found: u8,
    },
    /// `BYTES` buffer that ends inside an element.
    #[error("the BYTES buffer ends inside element {at} of {count}")]
    Truncated {
        /// Index of the element.
        at: usize,
        /// Elements of the shape.
        count: usize,
    },
    /// `BYTES` buffer that continues after its last element.
    #[error("the BYTES buffer has {extra} bytes after its {count} elements")]
    Trailing {
        /// Bytes after the last element.
        extra: usize,
        /// Elements of the shape.
        count: usize,
    },
    /// String that is not UTF-8.
    #[error("element {at} is not valid UTF-8")]
    Utf8 {
        /// Index of the element.
        at: usize,
    },
    /// Elements of another type.
    #[error("elements are {found}, not {wanted}")]
    Element {
        /// Type of the elements.
        found: ElementType,
        /// Type that was asked for.
        wanted: ElementType,
    },
    /// Tensor that does not have exactly one element.
    #[error("a tensor of shape {0:?} is not a scalar")]
    NotScalar(Vec<usize>),
    /// Scalar where a list is needed.
    #[error("a scalar has no rows")]
    NotList,
    /// Index after the last row.
    #[error("index {index} is out of range: there are {rows} rows")]
    Index {
        /// The index.
        index: usize,
        /// Number of rows.
        rows: usize,
    },
    /// Shapes that do not fit each other.
    #[error("shape {from:?} does not fit shape {to:?}")]
    Reshape {
        /// Shape of the tensor.
        from: Vec<usize>,
        /// Shape that was asked for.
        to: Vec<usize>,
    },
    /// More dimensions than [`MAX_RANK`].
    #[error("{0} dimensions are more than the limit of {MAX_RANK}")]
    Rank(usize),
    /// More elements than an address space holds.
    #[error("the shape has too many elements")]
    TooLarge,
}
