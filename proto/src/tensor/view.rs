//! Values of a tensor.

use std::borrow::Cow;

use super::{Element, Strings, Tensor, TensorError};
use crate::types::ElementType;

impl Tensor {
    /// Returns the elements as a slice: borrowed where the buffer is aligned for `T`, else copied.
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

    /// Returns the element of a tensor that has exactly one.
    ///
    /// # Errors
    /// When the type is another, or there is not exactly one element.
    pub fn to_scalar<T: Element>(&self) -> Result<T, TensorError> {
        match *self.values::<T>()? {
            [value] => Ok(value),
            _ => Err(TensorError::NotScalar(self.shape.clone())),
        }
    }

    /// Returns the elements of a `bool` tensor.
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

    /// Returns a view of the elements of a `string` or `bytes` tensor.
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

    /// Returns the string of a tensor that has exactly one.
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
}
