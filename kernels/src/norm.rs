//! Layer norm: each token's vector to mean 0 and variance 1, then scaled and shifted.

use pulp::{Simd, WithSimd};

use crate::blocked::ColumnBlocks;
use crate::simd::{dispatch, multiply_add};

/// Scale and shift of a layer norm.
#[derive(Debug)]
pub struct LayerNorm {
    scale: Vec<f32>,
    shift: Vec<f32>,
    eps: f32,
}

impl LayerNorm {
    /// Returns the norm with `scale` and `shift`, a value for each column; `eps` is added to the
    /// variance.
    pub fn new(scale: Vec<f32>, shift: Vec<f32>, eps: f32) -> Self {
        assert_eq!(scale.len(), shift.len(), "scale and shift of one size");
        Self { scale, shift, eps }
    }

    /// Normalizes, in place, every token of a matrix `[T, H]` in blocks.
    pub fn run(&self, values: &mut [f32], columns: ColumnBlocks) {
        let tokens = values.len() / columns.count;
        dispatch(Normalize {
            norm: self,
            values,
            tokens,
            columns,
        });
    }
}

struct Normalize<'a> {
    norm: &'a LayerNorm,
    values: &'a mut [f32],
    tokens: usize,
    columns: ColumnBlocks,
}

impl WithSimd for Normalize<'_> {
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
            let elements = |block: usize| {
                let width = columns.columns(block).len();
                let start = columns.elements(block, tokens).start + token * width;
                start..start + width
            };
            let mut sum = 0.0;
            for block in 0..columns.blocks() {
                sum += sum_of_distances(simd, &values[elements(block)], 0.0, false);
            }
            let mean = sum / count;
            let mut squares = 0.0;
            for block in 0..columns.blocks() {
                squares += sum_of_distances(simd, &values[elements(block)], mean, true);
            }
            let factor = (squares / count + norm.eps).sqrt().recip();
            let (means, factors) = (simd.splat_f32s(mean), simd.splat_f32s(factor));
            for block in 0..columns.blocks() {
                let range = columns.columns(block);
                let (scale, scale_rest) = S::as_simd_f32s(&norm.scale[range.clone()]);
                let (shift, shift_rest) = S::as_simd_f32s(&norm.shift[range]);
                let (x, x_rest) = S::as_mut_simd_f32s(&mut values[elements(block)]);
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

/// Returns the sum of the values' distances from `mean`, or of the distances' squares.
#[inline(always)]
fn sum_of_distances<S: Simd>(simd: S, values: &[f32], mean: f32, squared: bool) -> f32 {
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
