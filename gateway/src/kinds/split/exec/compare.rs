//! Comparison of answers of two models.

use motet_proto::dispatch;
use motet_proto::tensor::Tensor;

/// How far two numbers may be apart, as a share of the larger; numbers this small are equal.
const TOLERANCE: f64 = 1e-3;

/// Returns `true` if two answers are approximately equal: floating point numbers within a
/// thousandth, all else exactly.
pub(super) fn approximately_equal(a: &[Option<Tensor>], b: &[Option<Tensor>]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| match pair {
            (Some(a), Some(b)) => same_tensor(a, b),
            (None, None) => true,
            _ => false,
        })
}

// The conversion is useless for f64 alone.
#[allow(clippy::useless_conversion)]
fn same_tensor(a: &Tensor, b: &Tensor) -> bool {
    if a.element() != b.element() || a.shape() != b.shape() {
        return false;
    }
    dispatch!(a.element(), {
        integer T => a.data() == b.data(),
        float T => match (a.values::<T>(), b.values::<T>()) {
            (Ok(a), Ok(b)) => a
                .iter()
                .zip(b.iter())
                .all(|(a, b)| is_close(f64::from(*a), f64::from(*b))),
            _ => false,
        },
        _ => a.data() == b.data(),
    })
}

fn is_close(a: f64, b: f64) -> bool {
    let apart = (a - b).abs();
    a == b || a.is_nan() && b.is_nan() || apart <= TOLERANCE * a.abs().max(b.abs()).max(TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_a_little_apart() {
        let floats = |x: &[f32]| Some(Tensor::from_values(vec![x.len()], x.to_vec()).unwrap());
        let text = |s: &str| Some(Tensor::scalar_string(s));
        for (a, b, expected) in [
            (floats(&[1.0, 0.0]), floats(&[1.0005, 1e-7]), true),
            (floats(&[1.0]), floats(&[1.002]), false),
            (floats(&[1.0]), floats(&[1.0, 1.0]), false),
            (floats(&[f32::NAN]), floats(&[f32::NAN]), true),
            (text("a"), text("a"), true),
            (text("a"), text("b"), false),
            (text("a"), None, false),
            (None, None, true),
        ] {
            let (a, b) = ([a], [b]);
            assert_eq!(approximately_equal(&a, &b), expected, "{a:?} {b:?}");
        }
    }
}
