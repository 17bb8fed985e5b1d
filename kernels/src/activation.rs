//! Functions of single values, on vectors.

use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};

use pulp::{Simd, WithSimd};

use crate::simd::multiply_add;

/// Activation function of a feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x Phi(x)`, the exact GELU, where Phi is the distribution function of the normal
    /// distribution: within 5e-7.
    Gelu,
    /// GELU by `tanh`: `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `x sigmoid(x)`, also named swish.
    Silu,
    /// `max(0, x)`.
    Relu,
}

/// Applies an activation to rows of whole vectors.
///
/// A function of its own: its constants would else be given the registers that sums need.
pub(crate) struct Activate<'a> {
    pub(crate) activation: Activation,
    /// From the first row's first value.
    pub(crate) values: &'a mut [f32],
    /// Distance from a row to the next.
    pub(crate) stride: usize,
    /// Values of a row, a multiple of a vector's lanes.
    pub(crate) width: usize,
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.values.chunks_mut(self.stride) {
            let (vectors, _) = S::as_mut_simd_f32s(&mut row[..self.width]);
            match self.activation {
                Activation::Gelu => {
                    for x in vectors {
                        *x = gelu(simd, *x);
                    }
                }
                Activation::GeluTanh => {
                    for x in vectors {
                        *x = gelu_tanh(simd, *x);
                    }
                }
                Activation::QuickGelu => {
                    for x in vectors {
                        let scaled = simd.mul_f32s(*x, simd.splat_f32s(1.702));
                        *x = times_sigmoid(simd, *x, scaled);
                    }
                }
                Activation::Silu => {
                    for x in vectors {
                        *x = times_sigmoid(simd, *x, *x);
                    }
                }
                Activation::Relu => {
                    let zero = simd.splat_f32s(0.0);
                    for x in vectors {
                        *x = simd.select_f32s(simd.less_than_f32s(*x, zero), zero, *x);
                    }
                }
            }
        }
    }
}

/// `x sigmoid(y)`.
#[inline(always)]
fn times_sigmoid<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
    // exp(-|y|), so that nothing overflows: 1 / (1 + e) where y >= 0, e / (1 + e) below.
    let negative = simd.less_than_f32s(y, simd.splat_f32s(0.0));
    let e = exp_negative(simd, simd.neg_f32s(simd.abs_f32s(y)));
    let one = simd.splat_f32s(1.0);
    let numerator = simd.select_f32s(negative, e, one);
    simd.div_f32s(simd.mul_f32s(x, numerator), simd.add_f32s(one, e))
}

/// The GELU by `tanh`, as `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))`.
#[inline(always)]
fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const LINEAR: f32 = FRAC_2_SQRT_PI * SQRT_2;
    let square = simd.mul_f32s(x, x);
    let factor = multiply_add(
        simd,
        square,
        simd.splat_f32s(LINEAR * 0.044_715),
        simd.splat_f32s(LINEAR),
    );
    times_sigmoid(simd, x, simd.mul_f32s(x, factor))
}

/// `x * Phi(x)`, the exact GELU, where Phi is the distribution function of the normal distribution:
/// within 5e-7.
///
/// `2 Phi(x) - 1` is odd: `x` times a polynomial of `x^2`, up to where it is 1 in f32.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const END: f32 = 5.2;
    // Made by kernels/scripts/fit_gelu.py. Of t = 2 (x / END)^2 - 1, highest power first.
    const POLYNOMIAL: [f32; 15] = [
        3.386_754e-4,
        -1.071_144_2e-3,
        1.398_179_1e-3,
        -2.110_322_5e-3,
        5.099_585e-3,
        -9.967_665e-3,
        1.614_504_3e-2,
        -2.479_288_5e-2,
        3.623_342_5e-2,
        -4.950_566e-2,
        6.392_898e-2,
        -7.985_299e-2,
        1.000_520_3e-1,
        -1.354_875_4e-1,
        2.718_999_7e-1,
    ];
    let near = simd.max_f32s(simd.splat_f32s(-END), x);
    let near = simd.min_f32s(simd.splat_f32s(END), near);
    let t = multiply_add(
        simd,
        simd.mul_f32s(near, near),
        simd.splat_f32s(2.0 / (END * END)),
        simd.splat_f32s(-1.0),
    );
    let [first, rest @ ..] = POLYNOMIAL;
    let mut sum = simd.splat_f32s(first);
    for coefficient in rest {
        sum = multiply_add(simd, sum, t, simd.splat_f32s(coefficient));
    }
    let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
    multiply_add(simd, half, simd.mul_f32s(sum, near), half)
}

/// `exp(x)` for `x <= 0`, within 3e-7 of its value; never less than about the smallest normal
/// number.
///
/// `x = k ln 2 + r` with an integer `k` and `|r| <= ln 2 / 2`; `exp(r)` by its Taylor series, `2^k`
/// by its exponent bits.
#[inline(always)]
pub(crate) fn exp_negative<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding this constant leaves the nearest integer in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact in few bits, so that k times it is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const SERIES: [f32; 6] = [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 1.0 / 2.0, 1.0, 1.0];
    let x = simd.max_f32s(simd.splat_f32s(-87.0), x);
    let shifted = multiply_add(
        simd,
        x,
        simd.splat_f32s(std::f32::consts::LOG2_E),
        simd.splat_f32s(ROUND),
    );
    let k = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    let r = multiply_add(simd, k, simd.splat_f32s(-LN_2_HIGH), x);
    let r = multiply_add(simd, k, simd.splat_f32s(-LN_2_LOW), r);
    let mut series = simd.splat_f32s(1.0 / 720.0);
    for coefficient in SERIES {
        series = multiply_add(simd, series, r, simd.splat_f32s(coefficient));
    }
    let exponent = simd.add_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(127));
    let exponent = simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23));
    simd.mul_f32s(series, simd.transmute_f32s_u32s(exponent))
}

/// The GELU from its definition; the error function by its Maclaurin series, exact enough below 4
/// and constant above.
#[cfg(test)]
pub(crate) fn gelu_in_f64(x: f64) -> f64 {
    use std::f64::consts;
    let scaled = x / consts::SQRT_2;
    if scaled.abs() > 4.0 {
        return x.max(0.0);
    }
    let (mut term, mut sum) = (scaled, scaled);
    for n in 1..200 {
        term *= -scaled * scaled / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    0.5 * x * (1.0 + sum * consts::FRAC_2_SQRT_PI)
}

/// The other activations from their definitions.
#[cfg(test)]
pub(crate) fn activation_in_f64(activation: Activation, x: f64) -> f64 {
    let sigmoid = |y: f64| 1.0 / (1.0 + (-y).exp());
    match activation {
        Activation::Gelu => gelu_in_f64(x),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Silu => x * sigmoid(x),
        Activation::Relu => x.max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::dispatch;

    struct Exp<'a>(&'a mut [f32]);

    impl WithSimd for Exp<'_> {
        type Output = ();
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f32s(self.0);
            assert!(rest.is_empty());
            for x in vectors {
                *x = exp_negative(simd, *x);
            }
        }
    }

    /// Fills `values` up to whole vectors and maps them.
    fn map(mut values: Vec<f32>, operation: impl Fn(&mut [f32])) -> Vec<f32> {
        let len = values.len();
        values.resize(len.next_multiple_of(64), 0.0);
        operation(&mut values);
        values.truncate(len);
        values
    }

    fn activate(values: Vec<f32>, activation: Activation) -> Vec<f32> {
        map(values, |values| {
            let width = values.len();
            dispatch(Activate {
                activation,
                values,
                stride: width,
                width,
            });
        })
    }

    const ALL: [Activation; 5] = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Silu,
        Activation::Relu,
    ];

    #[test]
    fn activations_are_close_everywhere() {
        let values: Vec<f32> = (-90_000..=90_000).map(|step| step as f32 * 1e-4).collect();
        for activation in ALL {
            for (x, found) in values.iter().zip(activate(values.clone(), activation)) {
                let wide = f64::from(*x);
                let expected = activation_in_f64(activation, wide);
                let limit = 5e-7 * wide.abs().max(1.0);
                assert!(
                    (f64::from(found) - expected).abs() < limit,
                    "{activation:?}({x}) is {found}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn activations_of_large_values_are_the_values_or_next_to_nothing() {
        for activation in ALL {
            let ends = activate(vec![1e30, -1e30, 0.0, -0.0], activation);
            assert!(
                (ends[0] / 1e30 - 1.0).abs() < 1e-6 && ends[1].abs() < 1e24,
                "{activation:?}: {ends:?}"
            );
            assert_eq!(ends[2..], [0.0, 0.0], "{activation:?}");
        }
    }

    #[test]
    fn activations_of_what_is_no_number_are_none() {
        for activation in ALL {
            assert!(
                activate(vec![f32::NAN], activation)[0].is_nan(),
                "{activation:?}"
            );
        }
    }

    #[test]
    fn the_exponential_is_close_everywhere() {
        let exp = |values: Vec<f32>| map(values, |values| dispatch(Exp(values)));
        let values: Vec<f32> = (0..87_000).map(|step| step as f32 * -1e-3).collect();
        for (x, found) in values.iter().zip(exp(values.clone())) {
            let expected = f64::from(*x).exp();
            assert!(
                (f64::from(found) / expected - 1.0).abs() < 3e-7,
                "exp({x}) is {found}, expected {expected}"
            );
        }
        for found in exp(vec![-88.0, -1e9, f32::MIN, f32::NEG_INFINITY]) {
            assert!((0.0..1e-37).contains(&found), "{found}");
        }
    }
}
