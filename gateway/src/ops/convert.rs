//! Conversion of values to another element type.

use motet_proto::dispatch;
use motet_proto::tensor::{Element, Tensor};
use motet_proto::types::ElementType;

use super::error::OpErrorKind;
use crate::scalar::decimal;

/// Elements of an intermediate type that represents the source exactly.
enum Values {
    Ints(Vec<i128>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
}

/// Converts the elements of a tensor to another type. A number outside the range of the type is
/// clamped to it; as an integer, a number is truncated and NaN is 0. A Boolean is 1 or 0, and every
/// number but 0 is true. A string is parsed, and a number is formatted as a string.
///
/// # Errors
/// When a string is not a value of the type, or bytes are not UTF-8.
pub(super) fn cast(tensor: &Tensor, to: ElementType) -> Result<Tensor, OpErrorKind> {
    if tensor.element() == to {
        return Ok(tensor.clone());
    }
    let shape = tensor.shape().to_vec();
    if matches!(
        (tensor.element(), to),
        (ElementType::Bytes, ElementType::String) | (ElementType::String, ElementType::Bytes)
    ) {
        return Ok(tensor.clone().into_text(to)?);
    }
    let values = read(tensor)?;
    match to {
        ElementType::String | ElementType::Bytes => {
            let texts: Vec<String> = match values {
                Values::Ints(v) if tensor.element() == ElementType::Bool => {
                    v.iter().map(|n| (*n != 0).to_string()).collect()
                }
                Values::Ints(v) => v.iter().map(i128::to_string).collect(),
                Values::Floats(v) => {
                    let from = tensor.element();
                    v.iter().map(|x| decimal::shortest(*x, from)).collect()
                }
                Values::Texts(v) => v,
            };
            Ok(Tensor::strings(&texts).into_text(to)?.reshape(shape)?)
        }
        ElementType::Bool => {
            let bools: Vec<bool> = match values {
                Values::Ints(v) => v.iter().map(|n| *n != 0).collect(),
                Values::Floats(v) => v.iter().map(|x| *x != 0.0).collect(),
                Values::Texts(v) => texts_to(&v, to, |t| t.parse().ok())?,
            };
            Ok(Tensor::bools(&bools).reshape(shape)?)
        }
        to if to.is_float() => {
            let floats = match values {
                Values::Ints(v) => v.iter().map(|n| *n as f64).collect(),
                Values::Floats(v) => v,
                // Rounded once, not to 64 bits first.
                Values::Texts(v) if to == ElementType::F32 => {
                    texts_to(&v, to, |t| t.parse().ok().map(|x: f32| x.into()))?
                }
                Values::Texts(v) => texts_to(&v, to, |t| t.parse().ok())?,
            };
            write_floats(shape, to, floats)
        }
        to => {
            let ints = match values {
                Values::Ints(v) => v,
                Values::Floats(v) => v.iter().map(|x| *x as i128).collect(),
                Values::Texts(v) => texts_to(&v, to, |t| t.parse().ok())?,
            };
            write_ints(shape, to, &ints)
        }
    }
}

fn texts_to<T>(
    texts: &[String],
    to: ElementType,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, OpErrorKind> {
    let one =
        |(at, text): (usize, &String)| read(text.trim()).ok_or(OpErrorKind::Unreadable { at, to });
    texts.iter().enumerate().map(one).collect()
}

#[allow(clippy::useless_conversion)] // Where `T` is `f64`.
fn read(tensor: &Tensor) -> Result<Values, OpErrorKind> {
    Ok(dispatch!(tensor.element(), {
        integer T => {
            Values::Ints(tensor.values::<T>()?.iter().map(|n| i128::from(*n)).collect())
        },
        float T => {
            Values::Floats(tensor.values::<T>()?.iter().map(|x| f64::from(*x)).collect())
        },
        _ => if tensor.element() == ElementType::Bool {
            Values::Ints(tensor.to_bools()?.into_iter().map(i128::from).collect())
        } else {
            let text = tensor.clone().into_text(ElementType::String)?;
            let texts = text.as_strings()?;
            Values::Texts(texts.texts().map(str::to_owned).collect())
        },
    }))
}

fn write_floats(shape: Vec<usize>, to: ElementType, v: Vec<f64>) -> Result<Tensor, OpErrorKind> {
    Ok(match to {
        ElementType::F16 => {
            Tensor::from_values(shape, v.into_iter().map(half::f16::from_f64).collect())
        }
        ElementType::BF16 => {
            Tensor::from_values(shape, v.into_iter().map(half::bf16::from_f64).collect())
        }
        ElementType::F64 => Tensor::from_values(shape, v),
        _ => Tensor::from_values(shape, v.into_iter().map(|x| x as f32).collect::<Vec<f32>>()),
    }?)
}

fn write_ints(shape: Vec<usize>, to: ElementType, v: &[i128]) -> Result<Tensor, OpErrorKind> {
    fn saturating<T: Element + TryFrom<i128>>(
        shape: Vec<usize>,
        v: &[i128],
        min: T,
        max: T,
    ) -> Result<Tensor, OpErrorKind> {
        let one = |n: &i128| T::try_from(*n).unwrap_or(if *n < 0 { min } else { max });
        Ok(Tensor::from_values(shape, v.iter().map(one).collect())?)
    }
    dispatch!(to, {
        integer T => saturating(shape, v, T::MIN, T::MAX),
        float T => Err(OpErrorKind::Argument),
        _ => Err(OpErrorKind::Argument),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_converted() {
        let text = |t: &str| Tensor::scalar_string(t);
        for (from, to, expected) in [
            (
                Tensor::scalar(2.9f32),
                ElementType::I64,
                Tensor::scalar(2i64),
            ),
            (Tensor::scalar(-1i32), ElementType::U8, Tensor::scalar(0u8)),
            (
                Tensor::scalar(300i64),
                ElementType::U8,
                Tensor::scalar(255u8),
            ),
            (
                Tensor::scalar(f32::NAN),
                ElementType::I32,
                Tensor::scalar(0i32),
            ),
            (Tensor::scalar(3i64), ElementType::F32, Tensor::scalar(3f32)),
            (
                Tensor::scalar_bool(true),
                ElementType::F32,
                Tensor::scalar(1f32),
            ),
            (
                Tensor::scalar(0.5f32),
                ElementType::Bool,
                Tensor::scalar_bool(true),
            ),
            (Tensor::scalar(7u8), ElementType::String, text("7")),
            (Tensor::scalar(0.1f32), ElementType::String, text("0.1")),
            (Tensor::scalar(0.1f64), ElementType::String, text("0.1")),
            (Tensor::scalar(1.0f32), ElementType::String, text("1")),
            (
                Tensor::scalar(half::f16::from_f32(0.1)),
                ElementType::String,
                text("0.1"),
            ),
            (
                Tensor::scalar(half::bf16::from_f32(0.3)),
                ElementType::String,
                text("0.3"),
            ),
            (
                Tensor::scalar(0.1f32),
                ElementType::F64,
                Tensor::scalar(f64::from(0.1f32)),
            ),
            (text("0.1"), ElementType::F32, Tensor::scalar(0.1f32)),
            // Rounded to 64 bits first, it would be half way between two floats.
            (
                text("1.00000005960464477540"),
                ElementType::F32,
                Tensor::scalar(1.000_000_1f32),
            ),
            (
                Tensor::scalar_bool(false),
                ElementType::String,
                text("false"),
            ),
            (text(" 12 "), ElementType::I32, Tensor::scalar(12i32)),
            (text("0.5"), ElementType::F64, Tensor::scalar(0.5f64)),
            (text("true"), ElementType::Bool, Tensor::scalar_bool(true)),
        ] {
            assert_eq!(cast(&from, to), Ok(expected), "{from:?} to {to}");
        }
        assert_eq!(
            cast(&Tensor::strings(["1", "x"]), ElementType::I64),
            Err(OpErrorKind::Unreadable {
                at: 1,
                to: ElementType::I64
            })
        );
    }
}
