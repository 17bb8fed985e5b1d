//! From an element type to the Rust type of its elements.

/// Evaluates an expression with the Rust type of a numeric [`ElementType`](crate::ElementType).
///
/// `number T => ...` is evaluated with `T` as the type of an integer or floating-point number;
/// `integer T => ...` and `float T => ...` tell the two apart. `_ => ...` is evaluated for strings,
/// bytes and booleans, which have no type of fixed layout. The match has no wildcard: a new element
/// type does not compile until it is added here.
///
/// ```
/// use motet_proto::{ElementType, Tensor, TensorError, dispatch};
///
/// fn sum(tensor: &Tensor) -> Result<Option<f64>, TensorError> {
///     Ok(dispatch!(tensor.element(), {
///         integer T => Some(tensor.values::<T>()?.iter().map(|v| *v as f64).sum()),
///         float T => Some(tensor.values::<T>()?.iter().map(|v| f64::from(*v)).sum()),
///         _ => None,
///     }))
/// }
///
/// assert_eq!(sum(&Tensor::from_values(vec![2], vec![1u8, 2])?)?, Some(3.0));
/// assert_eq!(sum(&Tensor::from_values(vec![2], vec![0.5f32, 1.0])?)?, Some(1.5));
/// assert_eq!(sum(&Tensor::strings(["a"]))?, None);
/// # Ok::<(), TensorError>(())
/// ```
#[macro_export]
macro_rules! dispatch {
    ($element:expr, { number $T:ident => $number:expr, _ => $other:expr $(,)? }) => {
        $crate::dispatch!($element, {
            integer $T => $number,
            float $T => $number,
            _ => $other,
        })
    };
    ($element:expr, {
        integer $I:ident => $integer:expr,
        float $F:ident => $float:expr,
        _ => $other:expr $(,)?
    }) => {
        match $element {
            $crate::ElementType::I8 => $crate::dispatch!(@with $I = i8, $integer),
            $crate::ElementType::I16 => $crate::dispatch!(@with $I = i16, $integer),
            $crate::ElementType::I32 => $crate::dispatch!(@with $I = i32, $integer),
            $crate::ElementType::I64 => $crate::dispatch!(@with $I = i64, $integer),
            $crate::ElementType::U8 => $crate::dispatch!(@with $I = u8, $integer),
            $crate::ElementType::U16 => $crate::dispatch!(@with $I = u16, $integer),
            $crate::ElementType::U32 => $crate::dispatch!(@with $I = u32, $integer),
            $crate::ElementType::U64 => $crate::dispatch!(@with $I = u64, $integer),
            $crate::ElementType::F16 => $crate::dispatch!(@with $F = $crate::half::f16, $float),
            $crate::ElementType::BF16 => $crate::dispatch!(@with $F = $crate::half::bf16, $float),
            $crate::ElementType::F32 => $crate::dispatch!(@with $F = f32, $float),
            $crate::ElementType::F64 => $crate::dispatch!(@with $F = f64, $float),
            $crate::ElementType::String
            | $crate::ElementType::Bytes
            | $crate::ElementType::Bool => $other,
        }
    };
    (@with $T:ident = $rust:ty, $value:expr) => {{
        #[allow(dead_code)]
        type $T = $rust;
        $value
    }};
}

#[cfg(test)]
mod tests {
    use crate::{Element, ElementType};

    #[test]
    fn every_number_is_dispatched_to_the_rust_type_of_its_layout() {
        for element in ElementType::ALL {
            let found = dispatch!(element, { number T => Some(T::TYPE), _ => None });
            assert_eq!(found, element.is_number().then_some(element));
            let is_float = dispatch!(element, { integer T => false, float T => true, _ => false });
            assert_eq!(is_float, element.is_float(), "{element}");
            let size = dispatch!(element, { number T => Some(size_of::<T>()), _ => None });
            assert_eq!(size, element.size().filter(|_| element.is_number()));
        }
    }
}
