//! Norms of tokens' vectors: layer norm (to mean 0 and variance 1) and RMS norm (to mean square 1),
//! then scaled and, for a layer norm, shifted.

use pulp::{Simd, WithSimd};

use crate::aligned::Aligned;
use crate::blocked::{ColumnBlocks, Matrix};
use crate::parallel::Parallelism;
use crate::simd::{dispatch, multiply_add};

/// Fewest values of a matrix that several threads share: with fewer, to meet takes longer than to
/// compute.
const SHARED_MIN: usize = 1 << 14;

/// Values that a norm keeps of each token between its two steps: mean and factor.
const STATISTICS: usize = 2;

/// A norm with its weights.
#[derive(Clone, Debug)]
pub struct Norm {
    /// `true` for a layer norm, which subtracts the mean; `false` for an RMS norm.
    centered: bool,
    scale: Vec<f32>,
    shift: Vec<f32>,
    eps: f32,
}

impl Norm {
    /// Returns a layer norm: `(x - mean) / sqrt(variance + eps) * scale + shift`. Without `shift`
    /// nothing is added.
    ///
    /// # Panics
    /// If `scale` and `shift` differ in length.
    pub fn layer(scale: Vec<f32>, shift: Option<Vec<f32>>, eps: f32) -> Self {
        let shift = shift.unwrap_or_else(|| vec![0.0; scale.len()]);
        assert_eq!(scale.len(), shift.len(), "scale and shift of a norm");
        Self {
            centered: true,
            scale,
            shift,
            eps,
        }
    }

    /// Returns an RMS norm: `x / sqrt(mean of x^2 + eps) * scale`.
    pub fn rms(scale: Vec<f32>, eps: f32) -> Self {
        Self {
            centered: false,
            shift: vec![0.0; scale.len()],
            scale,
            eps,
        }
    }

    /// Normalizes, in place, every token of a matrix `[T, H]` in blocks. `scratch` is scratch
    /// memory.
    pub fn run(
        &self,
        values: &mut [f32],
        columns: ColumnBlocks,
        scratch: &mut Aligned<f32>,
        parallelism: Parallelism,
    ) {
        debug_assert_eq!(columns.count, self.scale.len());
        let tokens = values.len() / columns.count;
        if !shared(values.len(), parallelism) {
            return dispatch(InPlace {
                norm: self,
                values,
                tokens,
                columns,
            });
        }
        self.statistics(Matrix::new(values, columns), scratch, parallelism);
        let statistics = scratch.as_slice();
        columns.for_each_part(values, 1, parallelism, |block, first, out| {
            dispatch(Apply {
                norm: self,
                statistics: &statistics[first * STATISTICS..],
                columns: columns.columns(block).start,
                width: columns.columns(block).len(),
                source: None,
                out,
            });
        });
    }

    /// Normalizes every token of `x` and writes the results to `out`, in the blocks of `x`.
    /// `scratch` is scratch memory.
    ///
    /// # Panics
    /// If `out` is not of the size of `x`.
    pub fn run_into(
        &self,
        x: Matrix<'_>,
        out: &mut [f32],
        scratch: &mut Aligned<f32>,
        parallelism: Parallelism,
    ) {
        debug_assert_eq!(x.columns.count, self.scale.len());
        assert_eq!(out.len(), x.values.len(), "the result of a norm");
        let parallelism = if shared(out.len(), parallelism) {
            parallelism
        } else {
            Parallelism::WithinThread
        };
        self.statistics(x, scratch, parallelism);
        let statistics = scratch.as_slice();
        x.columns
            .for_each_part(out, 1, parallelism, |block, first, out| {
                let width = x.columns.columns(block).len();
                dispatch(Apply {
                    norm: self,
                    statistics: &statistics[first * STATISTICS..],
                    columns: x.columns.columns(block).start,
                    width,
                    source: Some(&x.block(block)[first * width..]),
                    out,
                });
            });
    }

    /// Normalizes, in place, each head of every token by itself: as many columns as the norm has
    /// weights. The matrix is in blocks of whole heads.
    ///
    /// # Panics
    /// If a block does not hold whole heads.
    pub fn run_heads(&self, values: &mut [f32], columns: ColumnBlocks, parallelism: Parallelism) {
        let head = self.scale.len();
        let whole = columns.width.is_multiple_of(head) && columns.count.is_multiple_of(head);
        assert!(whole, "{columns:?} in heads of {head}");
        let parallelism = if shared(values.len(), parallelism) {
            parallelism
        } else {
            Parallelism::WithinThread
        };
        columns.for_each_part(values, 1, parallelism, |_, _, heads| {
            // Heads lie one after the other: a matrix of one block.
            dispatch(InPlace {
                norm: self,
                tokens: heads.len() / head,
                values: heads,
                columns: ColumnBlocks {
                    count: head,
                    width: head,
                },
            });
        });
    }

    /// Computes mean and factor of every token.
    fn statistics(&self, x: Matrix<'_>, out: &mut Aligned<f32>, parallelism: Parallelism) {
        out.resize(x.tokens * STATISTICS);
        let tokens = x.tokens.div_ceil(parallelism.count()).max(1);
        let out = out.as_mut_slice();
        parallelism.for_each_chunk(out, tokens * STATISTICS, |number, statistics| {
            dispatch(Statistics {
                norm: self,
                x,
                first: number * tokens,
                statistics,
            });
        });
    }
}

/// Returns whether a matrix of so many values is worth sharing.
fn shared(values: usize, parallelism: Parallelism) -> bool {
    parallelism == Parallelism::AcrossThreads && values >= SHARED_MIN
}

/// Normalizes all tokens in place.
struct InPlace<'a> {
    norm: &'a Norm,
    values: &'a mut [f32],
    tokens: usize,
    columns: ColumnBlocks,
}

impl WithSimd for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            norm,
            values,
            tokens,
            columns,
        } = self;
        for token in 0..tokens {
            let (mean, factor) = statistics_of(simd, norm, values, tokens, columns, token);
            for block in 0..columns.blocks() {
                let range = columns.columns(block);
                let elements = elements_of(columns, tokens, block, token);
                let (scale, shift) = (&norm.scale[range.clone()], &norm.shift[range]);
                apply(simd, &mut values[elements], mean, factor, scale, shift);
            }
        }
    }
}

/// Computes mean and factor of some tokens.
struct Statistics<'a> {
    norm: &'a Norm,
    x: Matrix<'a>,
    first: usize,
    statistics: &'a mut [f32],
}

impl WithSimd for Statistics<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Matrix {
            values,
            tokens,
            columns,
        } = self.x;
        let statistics = self.statistics.chunks_exact_mut(STATISTICS);
        for (token, statistics) in (self.first..).zip(statistics) {
            let (mean, factor) = statistics_of(simd, self.norm, values, tokens, columns, token);
            statistics.copy_from_slice(&[mean, factor]);
        }
    }
}

/// Applies mean and factor to some tokens in one block.
struct Apply<'a> {
    norm: &'a Norm,
    /// From the first token on.
    statistics: &'a [f32],
    /// First column of the block.
    columns: usize,
    width: usize,
    /// From the first token on; without it the values are in `out`.
    source: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let columns = self.columns..self.columns + self.width;
        let scale = &self.norm.scale[columns.clone()];
        let shift = &self.norm.shift[columns];
        let rows = self.out.chunks_exact_mut(self.width).enumerate();
        for ((at, row), statistics) in rows.zip(self.statistics.chunks_exact(STATISTICS)) {
            if let Some(source) = self.source {
                row.copy_from_slice(&source[at * self.width..][..self.width]);
            }
            apply(simd, row, statistics[0], statistics[1], scale, shift);
        }
    }
}

/// Returns the elements of a token in a block.
#[inline(always)]
fn elements_of(
    columns: ColumnBlocks,
    tokens: usize,
    block: usize,
    token: usize,
) -> std::ops::Range<usize> {
    let width = columns.columns(block).len();
    let start = columns.elements(block, tokens).start + token * width;
    start..start + width
}

/// Returns the mean that is subtracted from a token's values, and the factor after that.
#[inline(always)]
fn statistics_of<S: Simd>(
    simd: S,
    norm: &Norm,
    values: &[f32],
    tokens: usize,
    columns: ColumnBlocks,
    token: usize,
) -> (f32, f32) {
    let count = columns.count as f32;
    let mut mean = 0.0;
    if norm.centered {
        let mut sum = 0.0;
        for block in 0..columns.blocks() {
            let elements = elements_of(columns, tokens, block, token);
            sum += sum_of_distances(simd, &values[elements], 0.0, false);
        }
        mean = sum / count;
    }
    let mut squares = 0.0;
    for block in 0..columns.blocks() {
        let elements = elements_of(columns, tokens, block, token);
        squares += sum_of_distances(simd, &values[elements], mean, true);
    }
    (mean, (squares / count + norm.eps).sqrt().recip())
}

/// Replaces values by `(x - mean) * factor * scale + shift`.
#[inline(always)]
fn apply<S: Simd>(
    simd: S,
    values: &mut [f32],
    mean: f32,
    factor: f32,
    scale: &[f32],
    shift: &[f32],
) {
    let (means, factors) = (simd.splat_f32s(mean), simd.splat_f32s(factor));
    let (scale, scale_rest) = S::as_simd_f32s(scale);
    let (shift, shift_rest) = S::as_simd_f32s(shift);
    let (x, x_rest) = S::as_mut_simd_f32s(values);
    for ((x, scale), shift) in x.iter_mut().zip(scale).zip(shift) {
        let unit = simd.mul_f32s(simd.sub_f32s(*x, means), factors);
        *x = multiply_add(simd, unit, *scale, *shift);
    }
    for ((x, scale), shift) in x_rest.iter_mut().zip(scale_rest).zip(shift_rest) {
        *x = (*x - mean) * factor * scale + shift;
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

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [(usize, ColumnBlocks); 6] = [
        (1, columns(1, 1)),
        (3, columns(7, 7)),
        (5, columns(96, 96)),
        (9, columns(100, 40)),
        (70, columns(384, 64)),
        (200, columns(312, 78)),
    ];

    const fn columns(count: usize, width: usize) -> ColumnBlocks {
        ColumnBlocks { count, width }
    }

    fn numbers(count: usize, salt: usize) -> Vec<f32> {
        (0..count)
            .map(|at| ((at * 37 + salt * 101) % 97) as f32 / 40.0 - 0.7)
            .collect()
    }

    fn norms(count: usize) -> [Norm; 3] {
        let (scale, shift) = (numbers(count, 1), numbers(count, 2));
        [
            Norm::layer(scale.clone(), Some(shift), 1e-5),
            Norm::layer(scale.clone(), None, 1e-12),
            Norm::rms(scale, 1e-6),
        ]
    }

    /// Computes a norm in f64, straight from the definition; in blocks, as `x` is.
    fn expected(norm: &Norm, x: Matrix<'_>) -> Vec<f64> {
        let columns = x.columns;
        let elements = |token: usize, column: usize| {
            let block = column / columns.width;
            let range = columns.columns(block);
            let start = columns.elements(block, x.tokens).start;
            start + token * range.len() + column - range.start
        };
        let mut result = vec![0.0; x.values.len()];
        for token in 0..x.tokens {
            let value = |column: usize| f64::from(x.values[elements(token, column)]);
            let count = columns.count as f64;
            let mut mean = (0..columns.count).map(value).sum::<f64>() / count;
            if !norm.centered {
                mean = 0.0;
            }
            let squares = (0..columns.count).map(|column| (value(column) - mean).powi(2));
            let factor = 1.0 / (squares.sum::<f64>() / count + f64::from(norm.eps)).sqrt();
            for column in 0..columns.count {
                let (scale, shift) = (norm.scale[column], norm.shift[column]);
                let unit = (value(column) - mean) * factor;
                result[elements(token, column)] = unit * f64::from(scale) + f64::from(shift);
            }
        }
        result
    }

    #[test]
    fn norms_of_all_shapes_are_close_to_the_definition() {
        for (tokens, columns) in SHAPES {
            for norm in norms(columns.count) {
                let mut x = numbers(tokens * columns.count, 3);
                let expected = expected(&norm, Matrix::new(&x, columns));
                let mut scratch = Aligned::default();
                norm.run(&mut x, columns, &mut scratch, Parallelism::WithinThread);
                for (found, expected) in x.iter().zip(expected) {
                    // A single value has no variance: what is left is rounding.
                    let near = (f64::from(*found) - expected).abs() < 1e-5;
                    assert!(near, "{tokens} {columns:?}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_norm_has_the_same_bits_in_place_or_not_on_any_number_of_threads() {
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for (tokens, columns) in SHAPES {
            for norm in norms(columns.count) {
                let x = numbers(tokens * columns.count, 3);
                let mut scratch = Aligned::default();
                let mut alone = x.clone();
                norm.run(&mut alone, columns, &mut scratch, Parallelism::WithinThread);
                let mut check = |parallelism: Parallelism| {
                    let mut in_place = x.clone();
                    norm.run(&mut in_place, columns, &mut scratch, parallelism);
                    let mut out = vec![f32::NAN; x.len()];
                    let from = Matrix::new(&x, columns);
                    norm.run_into(from, &mut out, &mut scratch, parallelism);
                    assert_eq!(bits(&in_place), bits(&alone), "{tokens} {columns:?}");
                    assert_eq!(bits(&out), bits(&alone), "{tokens} {columns:?}");
                };
                check(Parallelism::WithinThread);
                for threads in [1, 2, 5, 16] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    pool.unwrap().install(|| check(Parallelism::AcrossThreads));
                }
            }
        }
    }

    #[test]
    fn each_head_has_a_norm_of_its_own_on_any_number_of_threads() {
        for (tokens, heads, of_block, head) in [(1, 1, 1, 64), (3, 4, 2, 16), (200, 6, 4, 20)] {
            let columns = columns(heads * head, of_block * head);
            let one = ColumnBlocks {
                count: head,
                width: head,
            };
            for norm in norms(head) {
                let x = numbers(tokens * columns.count, 3);
                let mut expected = Vec::new();
                for values in x.chunks_exact(head) {
                    let mut values = values.to_vec();
                    let mut scratch = Aligned::default();
                    norm.run(&mut values, one, &mut scratch, Parallelism::WithinThread);
                    expected.extend(values);
                }
                let check = |parallelism: Parallelism| {
                    let mut found = x.clone();
                    norm.run_heads(&mut found, columns, parallelism);
                    assert_eq!(found, expected, "{tokens} {columns:?}");
                };
                check(Parallelism::WithinThread);
                for threads in [1, 2, 5] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    pool.unwrap().install(|| check(Parallelism::AcrossThreads));
                }
            }
        }
    }
}
