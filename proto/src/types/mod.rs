//! Element types, dimensions and tensor types, with their form in pipeline files and signatures:
//! `string`, `string[N]`, `float[N,384]`.
//!
//! * `element`: [`ElementType`]; `tensor_type`: [`TensorType`] and [`Dim`].
//! * `dispatch`: [`dispatch!`](crate::dispatch), from an element type to a Rust type.

mod dispatch;
mod element;
mod tensor_type;

pub use element::ElementType;
pub use tensor_type::{Dim, MAX_RANK, TensorType};

/// A text that is not a tensor type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Unknown element type.
    #[error("unknown element type `{0}`")]
    UnknownElement(String),
    /// Brackets that do not match.
    #[error("`{0}` is not a type: write `string`, `string[N]` or `float[N,384]`")]
    Malformed(String),
    /// A dimension that is neither a number nor a symbol.
    #[error("`{0}` is not a dimension: write a number or a symbol such as `N`")]
    BadDim(String),
    /// More dimensions than [`MAX_RANK`].
    #[error("{0} dimensions are more than the limit of {MAX_RANK}")]
    TooManyDims(usize),
}
