//! Values of a pipeline file as tensors.

use std::fmt::Display;

use motet_proto::dispatch;
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use crate::check::{Input, Literal};
use crate::scalar::Scalar;

impl Input {
    /// Returns the tensor of an input that a request leaves out.
    pub fn default_tensor(&self) -> Option<Tensor> {
        self.default.as_ref().map(to_tensor)
    }
}

/// Returns a value of the file as a tensor. Its scalars have the form of its element type, as the
/// check guarantees; one that has not reads as zero or empty.
pub(super) fn to_tensor(literal: &Literal) -> Tensor {
    let v = &literal.values;
    let int = |s: &Scalar| if let Scalar::Int(i) = s { *i } else { 0 };
    let float = |s: &Scalar| if let Scalar::Float(x) = s { *x } else { 0.0 };
    let text = |s: &Scalar| match s {
        Scalar::String(s) => s.clone(),
        _ => String::new(),
    };
    macro_rules! numbers {
        ($rust:ty, $read:expr) => {
            Tensor::from_values(
                literal.shape(),
                v.iter().map(|s| $read(s) as $rust).collect::<Vec<$rust>>(),
            )
        };
    }
    let tensor = match literal.element {
        ElementType::I8 => numbers!(i8, int),
        ElementType::I16 => numbers!(i16, int),
        ElementType::I32 => numbers!(i32, int),
        ElementType::I64 => numbers!(i64, int),
        ElementType::U8 => numbers!(u8, int),
        ElementType::U16 => numbers!(u16, int),
        ElementType::U32 => numbers!(u32, int),
        ElementType::U64 => numbers!(u64, int),
        ElementType::F32 => numbers!(f32, float),
        ElementType::F64 => numbers!(f64, float),
        ElementType::F16 => Tensor::from_values(
            literal.shape(),
            v.iter().map(|s| half::f16::from_f64(float(s))).collect(),
        ),
        ElementType::BF16 => Tensor::from_values(
            literal.shape(),
            v.iter().map(|s| half::bf16::from_f64(float(s))).collect(),
        ),
        ElementType::Bool => {
            let bools: Vec<bool> = v.iter().map(|s| *s == Scalar::Bool(true)).collect();
            Tensor::bools(&bools).reshape(literal.shape())
        }
        ElementType::String => Tensor::strings(v.iter().map(text)).reshape(literal.shape()),
        ElementType::Bytes => Tensor::byte_strings(v.iter().map(text)).reshape(literal.shape()),
    };
    tensor.unwrap_or_else(|_| Tensor::strings::<&str>([]))
}

/// Returns the element of a tensor of one element, as a file would write it; `None` for an integer
/// over the range of `i64` and for bytes.
// Some of the conversions are useless, or cannot fail, for some types alone.
#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
pub(super) fn scalar(tensor: &Tensor) -> Option<Scalar> {
    dispatch!(tensor.element(), {
        integer T => {
            let value = tensor.to_scalar::<T>().ok()?;
            i64::try_from(value).ok().map(Scalar::Int)
        },
        float T => tensor.to_scalar::<T>().ok().map(|v| Scalar::Float(v.into())),
        _ => match tensor.element() {
            ElementType::Bool => match tensor.to_bools().ok()?[..] {
                [value] => Some(Scalar::Bool(value)),
                _ => None,
            },
            ElementType::String => tensor.as_text().ok().map(|s| Scalar::String(s.to_owned())),
            _ => None,
        },
    })
}

/// Describes a number outside a range.
pub(super) fn out_of_range<T: Display>(
    found: impl Display,
    min: Option<T>,
    max: Option<T>,
) -> String {
    match (min, max) {
        (Some(min), Some(max)) => {
            format!("{found} is out of range: it must be from {min} to {max}")
        }
        (Some(min), None) => format!("{found} is out of range: it must be at least {min}"),
        (None, Some(max)) => format!("{found} is out of range: it must be at most {max}"),
        (None, None) => format!("{found} is out of range"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_become_tensors_of_their_type() {
        let make = |element, list, values: &[Scalar]| {
            to_tensor(&Literal {
                element,
                list,
                values: values.to_vec(),
            })
        };
        let two = [Scalar::Int(2)];
        assert_eq!(make(ElementType::I64, false, &two), Tensor::scalar(2i64));
        assert_eq!(make(ElementType::U8, false, &two), Tensor::scalar(2u8));
        assert_eq!(
            make(ElementType::F32, true, &[Scalar::Float(0.5)]),
            Tensor::from_values(vec![1], vec![0.5f32]).unwrap()
        );
        assert_eq!(
            make(ElementType::BF16, false, &[Scalar::Float(0.5)]),
            Tensor::scalar(half::bf16::from_f32(0.5))
        );
        assert_eq!(
            make(ElementType::String, true, &[Scalar::String("a".to_owned())]),
            Tensor::strings(["a"])
        );
        assert_eq!(
            make(
                ElementType::String,
                false,
                &[Scalar::String("a".to_owned())]
            ),
            Tensor::scalar_string("a")
        );
        assert_eq!(
            make(ElementType::Bool, false, &[Scalar::Bool(true)]),
            Tensor::scalar_bool(true)
        );
    }
}
