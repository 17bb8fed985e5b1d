//! Functions of single values, on vectors.

use pulp::Simd;

use crate::simd::multiply_add;

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
/// `x = k ln 2 + r` with an integer `k` and `|r| <= ln 2 / 2`; `exp(r)` by its Taylor series, `2^k` by
/// its exponent bits.
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

/// The GELU from its definition; the error function by its Maclaurin series, exact enough below 4 and
/// constant above.
#[cfg(test)]
pub(crate) fn gelu_in_f64(x: f64) -> f64 {
    use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};
    let scaled = x / SQRT_2;
    if scaled.abs() > 4.0 {
        return x.max(0.0);
    }
    let (mut term, mut sum) = (scaled, scaled);
    for n in 1..200 {
        term *= -scaled * scaled / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    0.5 * x * (1.0 + sum * FRAC_2_SQRT_PI)
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::simd::dispatch;

    #[derive(Clone, Copy)]
    enum Function {
        Gelu,
        Exp,
    }

    struct Map<'a>(&'a mut [f32], Function);

    impl WithSimd for Map<'_> {
        type Output = ();
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f32s(self.0);
            assert!(rest.is_empty());
            for x in vectors {
                *x = match self.1 {
                    Function::Gelu => gelu(simd, *x),
                    Function::Exp => exp_negative(simd, *x),
                };
            }
        }
    }

    fn map(mut values: Vec<f32>, function: Function) -> Vec<f32> {
        let len = values.len();
        values.resize(len.next_multiple_of(64), 0.0);
        dispatch(Map(&mut values, function));
        values.truncate(len);
        values
    }

    #[test]
    fn gelu_is_close_everywhere() {
        let values: Vec<f32> = (-90_000..=90_000).map(|step| step as f32 * 1e-4).collect();
        for (x, found) in values.iter().zip(map(values.clone(), Function::Gelu)) {
            let wide = f64::from(*x);
            let expected = gelu_in_f64(wide);
            let limit = 5e-7 * wide.abs().max(1.0);
            assert!(
                (f64::from(found) - expected).abs() < limit,
                "gelu({x}) is {found}, expected {expected}"
            );
        }
        let ends = map(vec![1e30, -1e30, 0.0, -0.0], Function::Gelu);
        assert!(
            (ends[0] / 1e30 - 1.0).abs() < 1e-6 && ends[1].abs() < 1e24,
            "{ends:?}"
        );
        assert_eq!(ends[2..], [0.0, 0.0]);
    }

    #[test]
    fn the_exponential_is_close_everywhere() {
        let values: Vec<f32> = (0..87_000).map(|step| step as f32 * -1e-3).collect();
        for (x, found) in values.iter().zip(map(values.clone(), Function::Exp)) {
            let expected = f64::from(*x).exp();
            assert!(
                (f64::from(found) / expected - 1.0).abs() < 3e-7,
                "exp({x}) is {found}, expected {expected}"
            );
        }
        for found in map(
            vec![-88.0, -1e9, f32::MIN, f32::NEG_INFINITY],
            Function::Exp,
        ) {
            assert!((0.0..1e-37).contains(&found), "{found}");
        }
    }
}
