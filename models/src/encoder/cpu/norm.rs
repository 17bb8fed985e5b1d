//! Layer norm: each token's vector to mean 0 and variance 1, then scaled and shifted.

use pulp::{Simd, WithSimd};

use super::blocks::Columns;
use super::simd::{dispatch, multiply_add};
use crate::config::BertConfig;
use crate::encoder::weights::Weights;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Norm {
    scale: Vec<f32>,
    shift: Vec<f32>,
    eps: f32,
}

impl Norm {
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &BertConfig,
        name: &str,
    ) -> Result<Self, LoadError> {
        let shape = [config.hidden_size];
        Ok(Self {
            scale: weights.values(&format!("{name}.weight"), &shape)?,
            shift: weights.values(&format!("{name}.bias"), &shape)?,
            eps: config.layer_norm_eps,
        })
    }

    /// In place, every token of a matrix `[T, H]` in blocks.
    pub(super) fn run(&self, values: &mut [f32], columns: Columns) {
        let tokens = values.len() / columns.count;
        dispatch(Run {
            norm: self,
            values,
            tokens,
            columns,
        });
    }
}

struct Run<'a> {
    norm: &'a Norm,
    values: &'a mut [f32],
    tokens: usize,
    columns: Columns,
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            norm,
            values,
            tokens,
            columns,
        } = self;
        let count = columns.count as f32;
        for token in 0..tokens {
            let place = |block: usize| {
                let width = columns.of(block).len();
                let start = columns.place(block, tokens).start + token * width;
                start..start + width
            };
            let mut sum = 0.0;
            for block in 0..columns.blocks() {
                sum += sum_from(simd, &values[place(block)], 0.0, false);
            }
            let mean = sum / count;
            let mut squares = 0.0;
            for block in 0..columns.blocks() {
                squares += sum_from(simd, &values[place(block)], mean, true);
            }
            let factor = (squares / count + norm.eps).sqrt().recip();
            let (means, factors) = (simd.splat_f32s(mean), simd.splat_f32s(factor));
            for block in 0..columns.blocks() {
                let range = columns.of(block);
                let (scale, scale_rest) = S::as_simd_f32s(&norm.scale[range.clone()]);
                let (shift, shift_rest) = S::as_simd_f32s(&norm.shift[range]);
                let (x, x_rest) = S::as_mut_simd_f32s(&mut values[place(block)]);
                for ((x, scale), shift) in x.iter_mut().zip(scale).zip(shift) {
                    let unit = simd.mul_f32s(simd.sub_f32s(*x, means), factors);
                    *x = multiply_add(simd, unit, *scale, *shift);
                }
                for ((x, scale), shift) in x_rest.iter_mut().zip(scale_rest).zip(shift_rest) {
                    *x = (*x - mean) * factor * scale + shift;
                }
            }
        }
    }
}

/// Returns the sum of the values' distances from `mean`, or of their squares.
#[inline(always)]
fn sum_from<S: Simd>(simd: S, values: &[f32], mean: f32, squared: bool) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(values);
    let means = simd.splat_f32s(mean);
    let mut sums = simd.splat_f32s(0.0);
    for x in vectors {
        let distance = simd.sub_f32s(*x, means);
        sums = if squared {
            multiply_add(simd, distance, distance, sums)
        } else {
            simd.add_f32s(sums, distance)
        };
    }
    let mut sum = simd.reduce_sum_f32s(sums);
    for x in rest {
        let distance = x - mean;
        sum += if squared {
            distance * distance
        } else {
            distance
        };
    }
    sum
}
