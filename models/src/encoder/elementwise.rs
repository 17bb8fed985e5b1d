//! Steps on single elements, done in place after a matrix product, together with its bias.
//!
//! On a CPU each is one pass over the matrix, its rows spread over the threads of the current rayon pool: Candle's own
//! elementwise operations would make a pass and a copy for every step, and take turns on one lock. On other devices the
//! same is written with Candle's operations.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail};
use rayon::prelude::*;

/// `x + bias`: `[T, N]`, `[N]`.
pub(super) fn add_bias(x: Tensor, bias: &Tensor) -> Result<Tensor> {
    if on_cpu(&x) {
        x.inplace_op2(bias, &AddBias)?;
        return Ok(x);
    }
    x.broadcast_add(bias)
}

/// `gelu(x + bias)` with the exact (erf) GELU: `[T, N]`, `[N]`.
pub(super) fn add_bias_gelu(x: Tensor, bias: &Tensor) -> Result<Tensor> {
    if on_cpu(&x) {
        x.inplace_op2(bias, &AddBiasGelu)?;
        return Ok(x);
    }
    x.broadcast_add(bias)?.gelu_erf()
}

/// `x + bias + residual`: `[T, N]`, `[N]`, `[T, N]`.
pub(super) fn add_bias_residual(x: Tensor, bias: &Tensor, residual: &Tensor) -> Result<Tensor> {
    if on_cpu(&x) {
        x.inplace_op3(bias, residual, &AddBiasResidual)?;
        return Ok(x);
    }
    x.broadcast_add(bias)? + residual
}

/// Softmax over the last dimension: any shape with a last dimension of at least 1.
pub(super) fn softmax(x: Tensor) -> Result<Tensor> {
    if on_cpu(&x) {
        x.inplace_op1(&Softmax)?;
        return Ok(x);
    }
    candle_nn::ops::softmax_last_dim(&x)
}

fn on_cpu(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == candle_core::DType::F32
}

struct AddBias;

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<()> {
        let bias = values(bias, bias_layout)?;
        for_each_row(values_mut(x, x_layout)?, bias.len(), |_, row| {
            row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
        });
        Ok(())
    }
}

struct AddBiasGelu;

impl InplaceOp2 for AddBiasGelu {
    fn name(&self) -> &'static str {
        "add-bias-gelu"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<()> {
        let bias = values(bias, bias_layout)?;
        for_each_row(values_mut(x, x_layout)?, bias.len(), |_, row| {
            row.iter_mut()
                .zip(bias)
                .for_each(|(x, bias)| *x = gelu(*x + bias));
        });
        Ok(())
    }
}

struct AddBiasResidual;

impl InplaceOp3 for AddBiasResidual {
    fn name(&self) -> &'static str {
        "add-bias-residual"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<()> {
        let bias = values(bias, bias_layout)?;
        let residual = values(residual, residual_layout)?;
        let width = bias.len();
        for_each_row(values_mut(x, x_layout)?, width, |index, row| {
            let residual = &residual[index * width..][..width];
            row.iter_mut()
                .zip(bias)
                .zip(residual)
                .for_each(|((x, bias), residual)| *x += bias + residual);
        });
        Ok(())
    }
}

struct Softmax;

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1);
        for_each_row(values_mut(x, layout)?, width, |_, row| {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|x| *x = exp_negative(max - *x));
            let scale = sum(row).recip();
            row.iter_mut().for_each(|x| *x *= scale);
        });
        Ok(())
    }
}

fn for_each_row(x: &mut [f32], width: usize, step: impl Fn(usize, &mut [f32]) + Sync + Send) {
    x.par_chunks_exact_mut(width)
        .enumerate()
        .with_min_len(32)
        .for_each(|(index, row)| step(index, row));
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("expected contiguous f32"),
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("expected contiguous f32"),
    }
}

/// The sum, in several running sums so that the compiler can keep them in one vector register.
fn sum(values: &[f32]) -> f32 {
    let (parts, rest) = values.as_chunks::<8>();
    let mut sums = [0f32; 8];
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
    sums.iter().chain(rest).sum()
}

/// `x * Phi(x)`, where Phi is the distribution function of the normal distribution.
#[inline]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function within 6e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, formula 7.1.26.
/// Free of branches and calls, so that a loop over it becomes vector instructions.
#[inline]
fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * magnitude);
    let poly = t
        * (0.254_829_6
            + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - poly * exp_negative(magnitude * magnitude)).copysign(x)
}

/// `exp(-y)` for `y >= 0`, within 3e-7 of its value, and 0 up to the smallest normal number beyond `y = 87`.
///
/// `-y = k ln 2 + r` with a whole `k` and `|r| <= ln 2 / 2`; `exp(r)` by its Taylor series, `2^k` by its exponent bits.
#[inline]
fn exp_negative(y: f32) -> f32 {
    // Adding this constant leaves the nearest whole number in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact in few bits, so that k times it is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let y = if y < 87.0 { y } else { 87.0 };
    let shifted = y * -std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (-y - k * LN_2_HIGH) - k * LN_2_LOW;
    let series = 1.0
        + r * (1.0
            + r * (1.0 / 2.0
                + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let exponent = shifted.to_bits().wrapping_add(127) << 23;
    series * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error function by its Maclaurin series in f64, exact enough below 4 and constant above.
    fn erf_exact(x: f64) -> f64 {
        if x.abs() > 4.0 {
            return x.signum();
        }
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn the_error_function_is_close_everywhere() {
        for step in -60_000..=60_000 {
            let x = step as f32 * 1e-4;
            let (found, expected) = (f64::from(erf(x)), erf_exact(f64::from(x)));
            assert!(
                (found - expected).abs() < 6e-7,
                "erf({x}) is {found}, expected {expected}"
            );
        }
    }

    #[test]
    fn the_exponential_is_close_everywhere() {
        for step in 0..87_000 {
            let y = step as f32 * 1e-3;
            let (found, expected) = (f64::from(exp_negative(y)), f64::from(-y).exp());
            assert!(
                (found / expected - 1.0).abs() < 3e-7,
                "exp(-{y}) is {found}, expected {expected}"
            );
        }
        assert!(exp_negative(1e9) < 1e-37);
    }

    #[test]
    fn softmax_shares_out_one() {
        let device = candle_core::Device::Cpu;
        for width in [1, 2, 7, 8, 9, 256] {
            let values: Vec<f32> = (0..3 * width)
                .map(|n| ((n * 37) % 101) as f32 - 50.0)
                .collect();
            let x = Tensor::from_vec(values, (3, width), &device).unwrap();
            let expected: Vec<f32> = candle_nn::ops::softmax(&x, 1)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            let found: Vec<f32> = softmax(x)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            assert!(
                found
                    .iter()
                    .zip(&expected)
                    .all(|(a, b)| (a - b).abs() < 1e-6),
                "{width}: {found:?}"
            );
        }
    }

    #[test]
    fn gelu_passes_large_values_and_stops_small_ones() {
        for (x, expected) in [
            (0.0, 0.0),
            (10.0, 10.0),
            (-10.0, 0.0),
            (1.0, 0.841_344_8),
            (-1.0, -0.158_655_25),
        ] {
            assert!(
                (gelu(x) - expected).abs() < 1e-6,
                "gelu({x}) is {}",
                gelu(x)
            );
        }
        assert!(gelu(f32::NAN).is_nan());
    }
}
