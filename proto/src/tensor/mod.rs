//! Tensors over the bytes of a message.
//!
//! [`Tensor`] keeps its elements as the raw contents of the Open Inference Protocol
//! (little-endian, row-major; a `BYTES` element is its length in four bytes, then its bytes) in a
//! shared [`Bytes`]: a received tensor is a slice of the buffer that it came in, and forwarding it
//! copies nothing. The bytes are checked once, when the tensor is created; views can then fail
//! only on the type that is asked for.
//!
//! * `create`: tensors of given values; `view`: values of a tensor; `rows`: rows of it.
//! * `strings`: the raw form of `BYTES`.
//! * `error`: [`TensorError`].

use bytemuck::Pod;
use bytes::Bytes;

use crate::types::{ElementType, MAX_RANK};

mod create;
mod error;
mod rows;
mod strings;
mod view;

pub use error::TensorError;
pub use strings::{Strings, StringsBuilder};

/// An element type, a shape, and a buffer that holds exactly these elements.
///
/// ```
/// use motet_proto::{ElementType, Tensor};
///
/// let scores = Tensor::from_values(vec![2, 2], vec![0.1f32, 0.9, 0.5, 0.5])?;
/// assert_eq!(scores.element(), ElementType::F32);
/// assert_eq!(scores.gather(&[1])?.values::<f32>()?[..], [0.5, 0.5]);
///
/// let names = Tensor::strings(["a", "b"]);
/// assert_eq!(names.as_strings()?.texts().collect::<Vec<_>>(), ["a", "b"]);
/// # Ok::<(), motet_proto::TensorError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Tensor {
    element: ElementType,
    shape: Vec<usize>,
    data: Bytes,
}

/// A Rust type with the memory layout of an element type (on a little-endian machine).
pub trait Element: Pod + Send {
    /// The element type.
    const TYPE: ElementType;
}

macro_rules! elements {
    ($($rust:ty => $element:ident),* $(,)?) => {
        $(impl Element for $rust { const TYPE: ElementType = ElementType::$element; })*
    };
}

elements! {
    i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    u8 => U8, u16 => U16, u32 => U32, u64 => U64,
    half::f16 => F16, half::bf16 => BF16, f32 => F32, f64 => F64,
}

const _: () = assert!(
    cfg!(target_endian = "little"),
    "tensors are viewed in place, and the wire is little-endian"
);

impl Tensor {
    /// Creates a tensor over raw contents, without a copy.
    ///
    /// # Errors
    /// When `data` does not hold exactly the elements of `shape`, a `bool` is neither 0 nor 1, or
    /// a `string` is not UTF-8.
    pub fn from_raw(
        element: ElementType,
        shape: Vec<usize>,
        data: Bytes,
    ) -> Result<Self, TensorError> {
        let count = element_count(&shape)?;
        match element.size() {
            Some(size) => {
                let expected = count.checked_mul(size).ok_or(TensorError::TooLarge)?;
                if data.len() != expected {
                    return Err(TensorError::Length {
                        found: data.len(),
                        expected,
                        element,
                        shape,
                    });
                }
                if element == ElementType::Bool
                    && let Some(at) = data.iter().position(|b| *b > 1)
                {
                    return Err(TensorError::Bool {
                        at,
                        found: data[at],
                    });
                }
            }
            None => strings::validate(&data, count, element)?,
        }
        Ok(Self {
            element,
            shape,
            data,
        })
    }

    /// Creates a tensor of numbers that takes over the vector's memory.
    ///
    /// # Errors
    /// When `values` does not hold exactly the elements of `shape`.
    pub fn from_values<T: Element>(shape: Vec<usize>, values: Vec<T>) -> Result<Self, TensorError> {
        let data = Bytes::from_owner(Owned(values));
        Self::from_raw(T::TYPE, shape, data)
    }

    /// Type of each element.
    pub const fn element(&self) -> ElementType {
        self.element
    }

    /// Length of each dimension, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of the first dimension; 1 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Raw contents.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// Returns the same elements in another shape.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshape(self, shape: Vec<usize>) -> Result<Self, TensorError> {
        if element_count(&shape)? != self.len() {
            return Err(TensorError::Reshape {
                from: self.shape,
                to: shape,
            });
        }
        Ok(Self { shape, ..self })
    }

    /// Returns the same bytes as `string` instead of `bytes`, or the other way round.
    ///
    /// # Errors
    /// When the tensor is neither, or an element is not UTF-8.
    pub fn into_text(self, element: ElementType) -> Result<Self, TensorError> {
        match (self.element, element) {
            (a, b) if a == b => Ok(self),
            (ElementType::String, ElementType::Bytes) => Ok(Self { element, ..self }),
            (ElementType::Bytes, ElementType::String) => {
                Self::from_raw(element, self.shape, self.data)
            }
            (found, wanted) => Err(TensorError::Element { found, wanted }),
        }
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Tensor({}{:?}, {} bytes)",
            self.element,
            self.shape,
            self.data.len()
        )
    }
}

/// Returns the number of elements of a shape.
///
/// # Errors
/// When the number overflows, or there are more than [`MAX_RANK`] dimensions.
pub fn element_count(shape: &[usize]) -> Result<usize, TensorError> {
    if shape.len() > MAX_RANK {
        return Err(TensorError::Rank(shape.len()));
    }
    shape
        .iter()
        .try_fold(1usize, |n, d| n.checked_mul(*d))
        .ok_or(TensorError::TooLarge)
}

/// A vector of numbers as the owner of a [`Bytes`].
struct Owned<T>(Vec<T>);

impl<T: Pod> AsRef<[u8]> for Owned<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[cfg(test)]
mod tests;
