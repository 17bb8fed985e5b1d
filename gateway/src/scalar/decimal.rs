//! Conversion between decimals and binary floats of several widths. A decimal that meets a float is
//! rounded to the nearest float of its type; a float is written as the shortest decimal that reads
//! back as the same float of its type.

use half::{bf16, f16};
use motet_proto::types::ElementType;

/// Returns the value of a floating-point type that is nearest to `x`. Returns `x` itself for other
/// types, and if it is finite but beyond the largest float of the type, which no float equals.
///
/// ```
/// use motet_gateway::scalar::decimal::nearest;
/// use motet_proto::types::ElementType;
///
/// assert_eq!(nearest(0.7, ElementType::F32), f64::from(0.7f32));
/// assert_eq!(nearest(0.7, ElementType::F64), 0.7);
/// ```
pub fn nearest(x: f64, element: ElementType) -> f64 {
    let rounded = match element {
        ElementType::F16 => f16::from_f64(x).to_f64(),
        ElementType::BF16 => bf16::from_f64(x).to_f64(),
        ElementType::F32 => f64::from(x as f32),
        _ => x,
    };
    if rounded.is_infinite() { x } else { rounded }
}

/// Returns the shortest decimal that reads back as `x`, a value of the element type.
///
/// ```
/// use motet_gateway::scalar::decimal::shortest;
/// use motet_proto::types::ElementType;
///
/// assert_eq!(shortest(f64::from(0.1f32), ElementType::F32), "0.1");
/// assert_eq!(shortest(f64::from(0.1f32), ElementType::F64), "0.10000000149011612");
/// ```
pub fn shortest(x: f64, element: ElementType) -> String {
    match element {
        ElementType::F32 => (x as f32).to_string(),
        // Five and four significant digits distinguish all values of these types.
        ElementType::F16 => shortest_of(x, 5, |d| f16::from_f64(d).to_f64()),
        ElementType::BF16 => shortest_of(x, 4, |d| bf16::from_f64(d).to_f64()),
        _ => x.to_string(),
    }
}

/// Returns the nearest decimal with the fewest significant digits, at most `digits_max`, that
/// `read` converts to `x`.
fn shortest_of(x: f64, digits_max: usize, read: impl Fn(f64) -> f64) -> String {
    let decimals = (0..digits_max).filter_map(|digits| format!("{x:.digits$e}").parse().ok());
    let shortest = decimals.into_iter().find(|d: &f64| read(*d) == x);
    shortest.unwrap_or(x).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_becomes_the_nearest_float_of_the_type() {
        use ElementType::{BF16, F16, F32, F64, I32};
        for (x, element, expected) in [
            (0.7, F32, f64::from(0.7f32)),
            (0.7, F64, 0.7),
            (0.7, F16, f16::from_f32(0.7).into()),
            (0.7, BF16, bf16::from_f32(0.7).into()),
            (16_777_217.0, F32, 16_777_216.0),
            (0.5, I32, 0.5),
            // No float of the type equals a finite number beyond its range.
            (1e300, F32, 1e300),
            (70_000.0, F16, 70_000.0),
            (f64::INFINITY, F16, f64::INFINITY),
        ] {
            assert_eq!(nearest(x, element), expected, "{x} as {element}");
        }
        assert!(nearest(f64::NAN, F32).is_nan());
    }

    #[test]
    fn a_float_is_written_in_its_shortest_form() {
        use ElementType::{BF16, F16, F32, F64};
        for (x, element, expected) in [
            (f64::from(0.1f32), F32, "0.1"),
            (f64::from(1e30f32), F32, "1000000000000000000000000000000"),
            (0.1, F64, "0.1"),
            (f16::from_f32(0.1).into(), F16, "0.1"),
            (f16::MAX.into(), F16, "65500"),
            (bf16::from_f32(0.1).into(), BF16, "0.1"),
            (bf16::from_f32(-3.140_625).into(), BF16, "-3.14"),
            (0.0, F16, "0"),
            (-0.0, F32, "-0"),
            (2.0, BF16, "2"),
            (f64::INFINITY, F16, "inf"),
            (f64::NAN, BF16, "NaN"),
        ] {
            assert_eq!(shortest(x, element), expected, "{x} of {element}");
        }
    }

    #[test]
    fn every_short_float_reads_back() {
        for bits in 0..=u16::MAX {
            for (x, element) in [
                (f64::from(f16::from_bits(bits)), ElementType::F16),
                (f64::from(bf16::from_bits(bits)), ElementType::BF16),
            ] {
                if !x.is_finite() {
                    continue;
                }
                let text = shortest(x, element);
                let read = nearest(text.parse().unwrap(), element);
                assert_eq!(read.to_bits(), x.to_bits(), "{text} of {element}");
            }
        }
    }
}
