//! A tensor over the wire's own bytes.
//!
//! [`Tensor`] keeps its elements as the Open Inference Protocol's raw contents (little-endian,
//! row-major; a `BYTES` element is its length in four bytes and then itself) in a shared
//! [`Bytes`], so a tensor received is a slice of the buffer it came in and passing it on copies
//! nothing. What the bytes hold is checked once, when the tensor is made; the views then cannot
//! fail on content, only on being asked for another type.

use std::borrow::Cow;

use bytemuck::Pod;
use bytes::{BufMut, Bytes, BytesMut};

use crate::types::{Dim, ElementType, MAX_RANK, TensorType};

mod error;
mod rows;
mod strings;

pub use error::TensorError;
pub use strings::{Strings, StringsBuilder};

/// An element type, a shape and the elements' bytes, which fit each other.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    element: ElementType,
    shape: Vec<usize>,
    data: Bytes,
}

/// A Rust type that is an element type in memory (on a little-endian machine).
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
    /// A tensor over raw contents.
    ///
    /// # Errors
    /// When `data` does not hold exactly the elements that `shape` asks for, a `bool` is neither
    /// 0 nor 1, or a `string` is not UTF-8.
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

    /// A tensor of numbers, taking over the vector's memory.
    ///
    /// # Errors
    /// When `values` does not hold exactly the elements that `shape` asks for.
    pub fn from_values<T: Element>(shape: Vec<usize>, values: Vec<T>) -> Result<Self, TensorError> {
        let data = Bytes::from_owner(Owned(values));
        Self::from_raw(T::TYPE, shape, data)
    }

    /// A scalar number.
    pub fn scalar<T: Element>(value: T) -> Self {
        Self {
            element: T::TYPE,
            shape: Vec::new(),
            data: Bytes::copy_from_slice(bytemuck::bytes_of(&value)),
        }
    }

    /// A scalar truth value.
    pub fn scalar_bool(value: bool) -> Self {
        Self {
            element: ElementType::Bool,
            shape: Vec::new(),
            data: Bytes::copy_from_slice(&[u8::from(value)]),
        }
    }

    /// A list of truth values.
    pub fn bools(values: &[bool]) -> Self {
        Self {
            element: ElementType::Bool,
            shape: vec![values.len()],
            data: values.iter().map(|b| u8::from(*b)).collect(),
        }
    }

    /// A scalar text.
    pub fn scalar_string(value: &str) -> Self {
        let mut b = StringsBuilder::with_capacity(1, value.len());
        b.push(value.as_bytes());
        Self {
            element: ElementType::String,
            shape: Vec::new(),
            data: b.finish(),
        }
    }

    /// A list of texts.
    pub fn strings<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> Self {
        let mut b = StringsBuilder::default();
        for v in values {
            b.push(v.as_ref().as_bytes());
        }
        Self {
            element: ElementType::String,
            shape: vec![b.len()],
            data: b.finish(),
        }
    }

    /// A list of byte strings.
    pub fn byte_strings<B: AsRef<[u8]>>(values: impl IntoIterator<Item = B>) -> Self {
        let mut b = StringsBuilder::default();
        for v in values {
            b.push(v.as_ref());
        }
        Self {
            element: ElementType::Bytes,
            shape: vec![b.len()],
            data: b.finish(),
        }
    }

    /// The type of each element.
    pub const fn element(&self) -> ElementType {
        self.element
    }

    /// The length of each dimension, outermost first; none for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of the first dimension; 1 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The raw contents.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The same elements under another shape of as many elements.
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

    /// The same bytes as `string` instead of `bytes`, or the other way round.
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

    /// The elements as a slice: in place when the buffer is aligned for `T`, else copied.
    ///
    /// # Errors
    /// When the elements are of another type.
    pub fn values<T: Element>(&self) -> Result<Cow<'_, [T]>, TensorError> {
        if self.element != T::TYPE {
            return Err(TensorError::Element {
                found: self.element,
                wanted: T::TYPE,
            });
        }
        Ok(match bytemuck::try_cast_slice(&self.data) {
            Ok(slice) => Cow::Borrowed(slice),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(&self.data)),
        })
    }

    /// The one element of a tensor of one element.
    ///
    /// # Errors
    /// When the type is another, or there is not exactly one element.
    pub fn to_scalar<T: Element>(&self) -> Result<T, TensorError> {
        match *self.values::<T>()? {
            [value] => Ok(value),
            _ => Err(TensorError::NotScalar(self.shape.clone())),
        }
    }

    /// The elements of a `bool` tensor.
    ///
    /// # Errors
    /// When the elements are of another type.
    pub fn to_bools(&self) -> Result<Vec<bool>, TensorError> {
        if self.element != ElementType::Bool {
            return Err(TensorError::Element {
                found: self.element,
                wanted: ElementType::Bool,
            });
        }
        Ok(self.data.iter().map(|b| *b != 0).collect())
    }

    /// The elements of a `string` or `bytes` tensor.
    ///
    /// # Errors
    /// When the elements are of another type.
    pub fn as_strings(&self) -> Result<Strings<'_>, TensorError> {
        if self.element.size().is_some() {
            return Err(TensorError::Element {
                found: self.element,
                wanted: ElementType::String,
            });
        }
        Ok(Strings::new(&self.data, self.len()))
    }

    /// The one text of a tensor of one text.
    ///
    /// # Errors
    /// When the type is another, or there is not exactly one element.
    pub fn as_text(&self) -> Result<&str, TensorError> {
        if self.element != ElementType::String {
            return Err(TensorError::Element {
                found: self.element,
                wanted: ElementType::String,
            });
        }
        match self.as_strings()?.texts().next() {
            Some(text) if self.len() == 1 => Ok(text),
            _ => Err(TensorError::NotScalar(self.shape.clone())),
        }
    }

    /// The rows (along the first dimension) that `index` names, in its order.
    ///
    /// # Errors
    /// When the tensor is a scalar, or an index is out of range.
    pub fn gather(&self, index: &[usize]) -> Result<Self, TensorError> {
        let Some((&rows, inner)) = self.shape.split_first() else {
            return Err(TensorError::NotList);
        };
        if let Some(&bad) = index.iter().find(|i| **i >= rows) {
            return Err(TensorError::Index { index: bad, rows });
        }
        let width: usize = inner.iter().product();
        let data = match self.element.size() {
            Some(size) => {
                let stride = width * size;
                let mut out = BytesMut::with_capacity(index.len() * stride);
                for &i in index {
                    out.put_slice(&self.data[i * stride..(i + 1) * stride]);
                }
                out.freeze()
            }
            None => {
                let all: Vec<&[u8]> = self.as_strings()?.iter().collect();
                let mut out = StringsBuilder::default();
                for &i in index {
                    all[i * width..(i + 1) * width]
                        .iter()
                        .for_each(|s| out.push(s));
                }
                out.finish()
            }
        };
        let mut shape = self.shape.clone();
        shape[0] = index.len();
        Ok(Self {
            element: self.element,
            shape,
            data,
        })
    }

    /// Every row, along the first dimension, each over the same bytes.
    ///
    /// # Errors
    /// When the tensor is a scalar.
    pub fn to_rows(&self) -> Result<Vec<Self>, TensorError> {
        let Some((&rows, inner)) = self.shape.split_first() else {
            return Err(TensorError::NotList);
        };
        let width: usize = inner.iter().product();
        let mut ends = Vec::with_capacity(rows);
        match self.element.size() {
            Some(size) => ends.extend((1..=rows).map(|row| row * width * size)),
            None => {
                let mut texts = self.as_strings()?.iter();
                let mut end = 0;
                for _ in 0..rows {
                    let row = texts.by_ref().take(width);
                    end += row.map(|text| strings::PREFIX + text.len()).sum::<usize>();
                    ends.push(end);
                }
            }
        }
        let mut start = 0;
        let row = |end| {
            let data = self.data.slice(start..end);
            start = end;
            Self {
                element: self.element,
                shape: inner.to_vec(),
                data,
            }
        };
        Ok(ends.into_iter().map(row).collect())
    }

    /// Tensors of one type as the rows of one tensor, which has one dimension more.
    ///
    /// # Errors
    /// When there is none, or types or shapes differ.
    pub fn stack(parts: Vec<Self>) -> Result<Self, TensorError> {
        let lists = parts
            .into_iter()
            .map(|part| {
                let mut shape = Vec::with_capacity(part.shape.len() + 1);
                shape.push(1);
                shape.extend_from_slice(&part.shape);
                part.reshape(shape)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::concat(&lists.iter().collect::<Vec<_>>())
    }

    /// Tensors of one element type and one inner shape, joined along the first dimension.
    ///
    /// # Errors
    /// When there is none, one is a scalar, or types or inner shapes differ.
    pub fn concat(parts: &[&Self]) -> Result<Self, TensorError> {
        let first = parts.first().ok_or(TensorError::NotList)?;
        let inner = first.shape.get(1..).ok_or(TensorError::NotList)?;
        let mut rows = 0;
        for part in parts {
            if part.element != first.element {
                return Err(TensorError::Element {
                    found: part.element,
                    wanted: first.element,
                });
            }
            if part.shape.get(1..) != Some(inner) {
                return Err(TensorError::Reshape {
                    from: part.shape.clone(),
                    to: first.shape.clone(),
                });
            }
            rows += part.shape[0];
        }
        let mut data = BytesMut::with_capacity(parts.iter().map(|p| p.data.len()).sum());
        parts.iter().for_each(|p| data.put_slice(&p.data));
        let mut shape = first.shape.clone();
        shape[0] = rows;
        Ok(Self {
            element: first.element,
            shape,
            data: data.freeze(),
        })
    }

    /// A tensor of zeros, of `false` or of empty texts.
    ///
    /// # Errors
    /// When there are too many of them.
    pub fn zero(element: ElementType, shape: Vec<usize>) -> Result<Self, TensorError> {
        let count = element_count(&shape)?;
        let size = element.size().unwrap_or(strings::PREFIX);
        let bytes = count.checked_mul(size).ok_or(TensorError::TooLarge)?;
        Ok(Self {
            element,
            shape,
            data: Bytes::from(vec![0; bytes]),
        })
    }

    /// An empty tensor of this type: every symbol stands for 0.
    pub fn empty(ty: &TensorType) -> Self {
        let shape = ty
            .dims
            .iter()
            .map(|d| match d {
                Dim::Fixed(n) => *n,
                Dim::Symbol(_) => 0,
            })
            .collect();
        Self {
            element: ty.element,
            shape,
            data: Bytes::new(),
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

/// The number of elements of a shape.
///
/// # Errors
/// When it does not fit, or there are more than [`MAX_RANK`] dimensions.
pub fn element_count(shape: &[usize]) -> Result<usize, TensorError> {
    if shape.len() > MAX_RANK {
        return Err(TensorError::Rank(shape.len()));
    }
    shape
        .iter()
        .try_fold(1usize, |n, d| n.checked_mul(*d))
        .ok_or(TensorError::TooLarge)
}

/// Lets [`Bytes`] own a vector of numbers.
struct Owned<T>(Vec<T>);

impl<T: Pod> AsRef<[u8]> for Owned<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[cfg(test)]
mod tests;
