//! The typed lists of `contents` as tensors.

use super::error::DecodeError;
use crate::inference::InferTensorContents;
use crate::tensor::{Element, Tensor, element_count};
use crate::types::ElementType;

/// Creates a tensor of narrow integers from a list of 32-bit ones.
fn narrow<W: Copy + std::fmt::Display, T: Element + TryFrom<W>>(
    shape: Vec<usize>,
    values: Vec<W>,
) -> Result<Tensor, DecodeError> {
    let values = values
        .into_iter()
        .map(|v| T::try_from(v).map_err(|_| DecodeError::Range(v.to_string(), T::TYPE)))
        .collect::<Result<Vec<T>, _>>()?;
    Ok(Tensor::from_values(shape, values)?)
}

/// Creates a tensor from the typed list of its element type.
///
/// # Errors
/// When another list is filled, or the list does not have the elements of the shape.
pub(super) fn from_contents(
    element: ElementType,
    shape: Vec<usize>,
    c: InferTensorContents,
) -> Result<Tensor, DecodeError> {
    let filled = [
        ("bool_contents", c.bool_contents.len()),
        ("int_contents", c.int_contents.len()),
        ("int64_contents", c.int64_contents.len()),
        ("uint_contents", c.uint_contents.len()),
        ("uint64_contents", c.uint64_contents.len()),
        ("fp32_contents", c.fp32_contents.len()),
        ("fp64_contents", c.fp64_contents.len()),
        ("bytes_contents", c.bytes_contents.len()),
    ];
    let wanted = list_of(element).ok_or(DecodeError::OnlyRaw(element))?;
    if let Some((found, _)) = filled.iter().find(|(n, len)| *len > 0 && *n != wanted) {
        return Err(DecodeError::WrongList {
            found,
            wanted,
            element,
        });
    }
    let count = element_count(&shape)?;
    let found = filled.iter().find(|(n, _)| *n == wanted).map_or(0, |f| f.1);
    if found != count {
        return Err(DecodeError::Count {
            found,
            count,
            shape,
        });
    }
    Ok(match element {
        ElementType::Bool => Tensor::bools(&c.bool_contents).reshape(shape)?,
        ElementType::I8 => narrow::<i32, i8>(shape, c.int_contents)?,
        ElementType::I16 => narrow::<i32, i16>(shape, c.int_contents)?,
        ElementType::I32 => Tensor::from_values(shape, c.int_contents)?,
        ElementType::I64 => Tensor::from_values(shape, c.int64_contents)?,
        ElementType::U8 => narrow::<u32, u8>(shape, c.uint_contents)?,
        ElementType::U16 => narrow::<u32, u16>(shape, c.uint_contents)?,
        ElementType::U32 => Tensor::from_values(shape, c.uint_contents)?,
        ElementType::U64 => Tensor::from_values(shape, c.uint64_contents)?,
        ElementType::F32 => Tensor::from_values(shape, c.fp32_contents)?,
        ElementType::F64 => Tensor::from_values(shape, c.fp64_contents)?,
        ElementType::String | ElementType::Bytes => {
            Tensor::byte_strings(&c.bytes_contents).reshape(shape)?
        }
        ElementType::F16 | ElementType::BF16 => return Err(DecodeError::OnlyRaw(element)),
    })
}

/// Returns the list of `contents` for an element type; `None` if there is none.
const fn list_of(element: ElementType) -> Option<&'static str> {
    Some(match element {
        ElementType::Bool => "bool_contents",
        ElementType::I8 | ElementType::I16 | ElementType::I32 => "int_contents",
        ElementType::I64 => "int64_contents",
        ElementType::U8 | ElementType::U16 | ElementType::U32 => "uint_contents",
        ElementType::U64 => "uint64_contents",
        ElementType::F32 => "fp32_contents",
        ElementType::F64 => "fp64_contents",
        ElementType::String | ElementType::Bytes => "bytes_contents",
        ElementType::F16 | ElementType::BF16 => return None,
    })
}

/// Returns the typed list of a tensor; `None` if its element type has none.
pub(super) fn to_contents(t: &Tensor) -> Option<InferTensorContents> {
    fn widen<T: Element, W: From<T>>(t: &Tensor) -> Option<Vec<W>> {
        Some(t.values::<T>().ok()?.iter().map(|v| W::from(*v)).collect())
    }
    let mut c = InferTensorContents::default();
    match t.element() {
        ElementType::Bool => c.bool_contents = t.to_bools().ok()?,
        ElementType::I8 => c.int_contents = widen::<i8, _>(t)?,
        ElementType::I16 => c.int_contents = widen::<i16, _>(t)?,
        ElementType::I32 => c.int_contents = widen::<i32, _>(t)?,
        ElementType::I64 => c.int64_contents = widen::<i64, _>(t)?,
        ElementType::U8 => c.uint_contents = widen::<u8, _>(t)?,
        ElementType::U16 => c.uint_contents = widen::<u16, _>(t)?,
        ElementType::U32 => c.uint_contents = widen::<u32, _>(t)?,
        ElementType::U64 => c.uint64_contents = widen::<u64, _>(t)?,
        ElementType::F32 => c.fp32_contents = widen::<f32, _>(t)?,
        ElementType::F64 => c.fp64_contents = widen::<f64, _>(t)?,
        ElementType::String | ElementType::Bytes => {
            // Elements are slices of the tensor's own buffer.
            c.bytes_contents = t
                .as_strings()
                .ok()?
                .iter()
                .map(|s| t.data().slice_ref(s))
                .collect();
        }
        ElementType::F16 | ElementType::BF16 => return None,
    }
    Some(c)
}
