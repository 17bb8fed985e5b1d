//! What can be wrong with a tensor.

use crate::types::{ElementType, MAX_RANK};

/// Why bytes and a shape make no tensor, or a tensor is not what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The buffer is too short or too long.
    #[error("{found} bytes do not make {element}{shape:?}: expected {expected}")]
    Length {
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        expected: usize,
        /// The element type.
        element: ElementType,
        /// The shape.
        shape: Vec<usize>,
    },
    /// A byte of a `bool` tensor is neither 0 nor 1.
    #[error("element {at} is {found}, which is not a bool")]
    Bool {
        /// The element.
        at: usize,
        /// Its byte.
        found: u8,
    },
    /// The lengths inside a `BYTES` buffer do not add up.
    #[error("the BYTES buffer breaks off in element {at} of {count}")]
    Truncated {
        /// The element.
        at: usize,
        /// Elements that the shape asks for.
        count: usize,
    },
    /// A `BYTES` buffer goes on behind its last element.
    #[error("the BYTES buffer has {extra} bytes behind its {count} elements")]
    Trailing {
        /// Bytes too many.
        extra: usize,
        /// Elements that the shape asks for.
        count: usize,
    },
    /// A text is not UTF-8.
    #[error("element {at} is not valid UTF-8")]
    Utf8 {
        /// The element.
        at: usize,
    },
    /// Elements of another type.
    #[error("elements are {found}, not {wanted}")]
    Element {
        /// What they are.
        found: ElementType,
        /// What was asked for.
        wanted: ElementType,
    },
    /// Not exactly one element.
    #[error("a tensor of shape {0:?} is not a scalar")]
    NotScalar(Vec<usize>),
    /// A scalar where a list is needed.
    #[error("a scalar has no rows")]
    NotList,
    /// An index behind the last row.
    #[error("index {index} is out of range: there are {rows} rows")]
    Index {
        /// The index.
        index: usize,
        /// Rows there are.
        rows: usize,
    },
    /// Shapes that do not go together.
    #[error("shape {from:?} does not fit shape {to:?}")]
    Reshape {
        /// The shape there is.
        from: Vec<usize>,
        /// The shape wanted.
        to: Vec<usize>,
    },
    /// More dimensions than [`MAX_RANK`].
    #[error("{0} dimensions are more than the limit of {MAX_RANK}")]
    Rank(usize),
    /// More elements than memory has addresses.
    #[error("the shape has too many elements")]
    TooLarge,
}
