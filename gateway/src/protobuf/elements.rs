//! Conversion of elements of tensors to protobuf values, and back.

use bytes::Bytes;
use motet_proto::tensor::{Tensor, TensorError};
use motet_proto::types::ElementType;
use prost_reflect::Value;

/// Returns the tensor of protobuf values.
///
/// # Errors
/// When a value is of another type or out of range, or the values do not fill `shape`.
pub(crate) fn from_elements(
    element: ElementType,
    shape: Vec<usize>,
    values: Vec<Value>,
) -> Result<Tensor, TensorError> {
    macro_rules! numbers {
        ($read:ident, $rust:ty) => {
            numbers!($read, $rust, |v| <$rust>::try_from(v).ok())
        };
        ($read:ident, $rust:ty, $convert:expr) => {{
            let numbers: Vec<$rust> = values
                .iter()
                .filter_map(|v| v.$read().and_then($convert))
                .collect();
            Tensor::from_values(shape, numbers)
        }};
    }
    match element {
        ElementType::String => {
            Tensor::strings(values.iter().filter_map(Value::as_str)).reshape(shape)
        }
        ElementType::Bytes => {
            Tensor::byte_strings(values.iter().filter_map(Value::as_bytes)).reshape(shape)
        }
        ElementType::Bool => {
            let bools: Vec<bool> = values.iter().filter_map(Value::as_bool).collect();
            Tensor::bools(&bools).reshape(shape)
        }
        ElementType::I8 => numbers!(as_i32, i8),
        ElementType::I16 => numbers!(as_i32, i16),
        ElementType::I32 => numbers!(as_i32, i32),
        ElementType::I64 => numbers!(as_i64, i64),
        ElementType::U8 => numbers!(as_u32, u8),
        ElementType::U16 => numbers!(as_u32, u16),
        ElementType::U32 => numbers!(as_u32, u32),
        ElementType::U64 => numbers!(as_u64, u64),
        ElementType::F16 => numbers!(as_f32, half::f16, |v| Some(half::f16::from_f32(v))),
        ElementType::BF16 => numbers!(as_f32, half::bf16, |v| Some(half::bf16::from_f32(v))),
        ElementType::F32 => numbers!(as_f32, f32),
        ElementType::F64 => numbers!(as_f64, f64),
    }
}

/// Returns all elements as protobuf values, in row-major order.
pub(crate) fn elements(tensor: &Tensor) -> Result<Vec<Value>, TensorError> {
    macro_rules! numbers {
        ($rust:ty, $value:ident) => {
            tensor
                .values::<$rust>()?
                .iter()
                .map(|v| Value::$value((*v).into()))
                .collect()
        };
    }
    Ok(match tensor.element() {
        ElementType::String => tensor
            .as_strings()?
            .texts()
            .map(|s| Value::String(s.to_owned()))
            .collect(),
        ElementType::Bytes => tensor
            .as_strings()?
            .iter()
            .map(|s| Value::Bytes(Bytes::copy_from_slice(s)))
            .collect(),
        ElementType::Bool => tensor.to_bools()?.into_iter().map(Value::Bool).collect(),
        ElementType::I8 => numbers!(i8, I32),
        ElementType::I16 => numbers!(i16, I32),
        ElementType::I32 => numbers!(i32, I32),
        ElementType::I64 => numbers!(i64, I64),
        ElementType::U8 => numbers!(u8, U32),
        ElementType::U16 => numbers!(u16, U32),
        ElementType::U32 => numbers!(u32, U32),
        ElementType::U64 => numbers!(u64, U64),
        ElementType::F16 => numbers!(half::f16, F32),
        ElementType::BF16 => numbers!(half::bf16, F32),
        ElementType::F32 => numbers!(f32, F32),
        ElementType::F64 => numbers!(f64, F64),
    })
}
