//! Tensors of given values.

use bytes::Bytes;

use super::{Element, Owned, StringsBuilder, Tensor, TensorError, element_count, strings};
use crate::types::{Dim, ElementType, TensorType};

impl Tensor {
    /// Creates a scalar number.
    pub fn scalar<T: Element>(value: T) -> Self {
        Self {
            element: T::TYPE,
            shape: Vec::new(),
            data: Bytes::copy_from_slice(bytemuck::bytes_of(&value)),
        }
    }

    /// Creates a scalar boolean.
    pub fn scalar_bool(value: bool) -> Self {
        Self {
            element: ElementType::Bool,
            shape: Vec::new(),
            data: Bytes::copy_from_slice(&[u8::from(value)]),
        }
    }

    /// Creates a list of numbers.
    pub fn list<T: Element>(values: Vec<T>) -> Self {
        Self {
            element: T::TYPE,
            shape: vec![values.len()],
            data: Bytes::from_owner(Owned(values)),
        }
    }

    /// Creates a list of booleans.
    pub fn bools(values: &[bool]) -> Self {
        Self {
            element: ElementType::Bool,
            shape: vec![values.len()],
            data: values.iter().map(|b| u8::from(*b)).collect(),
        }
    }

    /// Creates a scalar string.
    pub fn scalar_string(value: &str) -> Self {
        let mut b = StringsBuilder::with_capacity(1, value.len());
        b.push(value.as_bytes());
        Self {
            element: ElementType::String,
            shape: Vec::new(),
            data: b.finish(),
        }
    }

    /// Creates a list of strings.
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

    /// Creates a list of byte strings.
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

    /// Creates a tensor of zeros, of `false` or of empty strings.
    ///
    /// # Errors
    /// When the elements do not fit in memory.
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

    /// Creates an empty tensor of a type: every symbol has length 0.
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
