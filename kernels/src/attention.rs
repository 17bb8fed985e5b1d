//! Attention within one row: `softmax(Q K^T / sqrt(d)) V` for each head of `d` columns, a few
//! queries at a time.

use std::cell::RefCell;
use std::iter::once;

use pulp::{Simd, WithSimd};

use crate::activation::exp_negative;
use crate::aligned::Aligned;
use crate::gemm::epilogue::OutputTile;
use crate::gemm::microkernel::{Lhs, Prefetch, TileSize, microkernel, tiles, with_tokens};
use crate::simd::dispatch;

/// Vectors of columns in a tile of the product with the values: heads have 32 or 64 columns, seldom
/// a multiple of three vectors.
const VALUE_VECTORS: usize = 2;

/// A row of L tokens: the heads that lie in one block of columns.
pub struct Attention<'a> {
    /// `[L, width]`; replaced by the result.
    pub queries: &'a mut [f32],
    /// `[L, width]`
    pub keys: &'a [f32],
    /// `[L, width]`
    pub values: &'a [f32],
    /// Columns of the block.
    pub width: usize,
    /// Columns of a head.
    pub head_size: usize,
}

impl Attention<'_> {
    /// Computes all heads of the block.
    pub fn run(self) {
        thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());
        SCRATCH.with_borrow_mut(|scratch| {
            dispatch(Run {
                attention: self,
                scratch,
            })
        });
    }
}

/// Scratch memory for one head.
#[derive(Default)]
struct Scratch {
    /// Keys, transposed, in panels: `[panels, head size, columns of a tile]`.
    keys: Aligned<f32>,
    /// Values in panels: `[panels, L, VALUE_VECTORS * lanes]`.
    values: Aligned<f32>,
    /// Scores of one tile of queries: `[tokens, L]`, each token's filled up to whole panels.
    scores: Aligned<f32>,
    /// A tile that is wider than what is left of a head.
    narrow: Aligned<f32>,
}

struct Run<'a> {
    attention: Attention<'a>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Attention {
            queries,
            keys,
            values,
            width,
            head_size,
        } = self.attention;
        let tokens = keys.len() / width;
        let panel = S::NR * S::F32_LANES;
        let most = S::MR;
        self.scratch
            .scores
            .resize(most * tokens.next_multiple_of(panel));
        for first in (0..width).step_by(head_size) {
            let head = Head {
                width,
                first,
                size: head_size,
                tokens,
            };
            pack_keys(&mut self.scratch.keys, panel, head, keys);
            pack_values(
                &mut self.scratch.values,
                VALUE_VECTORS * S::F32_LANES,
                head,
                values,
            );
            for tile in tiles(tokens, most) {
                let queries = &mut queries[tile.start * width..tile.end * width];
                with_tokens!(most, tile.len(), R => {
                    if const { S::NR == 3 } {
                        attend::<S, 3, R>(simd, head, queries, self.scratch);
                    } else {
                        attend::<S, 2, R>(simd, head, queries, self.scratch);
                    }
                });
            }
        }
    }
}

fn pack_keys(packed: &mut Aligned<f32>, panel: usize, head: Head, keys: &[f32]) {
    packed.resize(head.tokens.next_multiple_of(panel) * head.size);
    let panels = packed.as_mut_slice().chunks_exact_mut(panel * head.size);
    for (values, keys) in panels.zip(keys.chunks(panel * head.width)) {
        if keys.len() < panel * head.width {
            values.fill(0.0);
        }
        for (at, key) in keys.chunks_exact(head.width).enumerate() {
            let key = &key[head.first..][..head.size];
            for (row, value) in key.iter().enumerate() {
                values[row * panel + at] = *value;
            }
        }
    }
}

fn pack_values(packed: &mut Aligned<f32>, panel: usize, head: Head, values: &[f32]) {
    packed.resize(head.size.next_multiple_of(panel) * head.tokens);
    let panels = packed.as_mut_slice().chunks_exact_mut(panel * head.tokens);
    for (number, packed) in panels.enumerate() {
        let columns = number * panel..((number + 1) * panel).min(head.size);
        for (row, value) in packed
            .chunks_exact_mut(panel)
            .zip(values.chunks_exact(head.width))
        {
            let (columns_of_head, padding) = row.split_at_mut(columns.len());
            columns_of_head.copy_from_slice(&value[head.first..][columns.clone()]);
            padding.fill(0.0);
        }
    }
}

#[derive(Clone, Copy)]
struct Head {
    width: usize,
    /// First column of the head in the block.
    first: usize,
    /// Columns of the head.
    size: usize,
    tokens: usize,
}

/// Computes `R` queries of one head, with tiles of `V` vectors for the keys; the result replaces the
/// queries.
#[inline(always)]
fn attend<S: Simd, const V: usize, const R: usize>(
    simd: S,
    head: Head,
    queries: &mut [f32],
    scratch: &mut Scratch,
) {
    let panel = V * S::F32_LANES;
    let padded = head.tokens.next_multiple_of(panel);
    let scores = &mut scratch.scores;
    for (number, keys) in scratch
        .keys
        .as_slice()
        .chunks_exact(panel * head.size)
        .enumerate()
    {
        let lhs = Lhs {
            values: &queries[head.first..],
            stride: head.width,
            len: head.size,
        };
        let (keys, _) = S::as_simd_f32s(keys);
        let (keys, _) = keys.as_chunks::<V>();
        let sums = [[simd.splat_f32s(0.0); V]; R];
        let sums = microkernel(simd, sums, once(lhs), keys, &mut Prefetch::none());
        let columns = number * panel..(number + 1) * panel;
        let scores = &mut scores.as_mut_slice()[..R * padded];
        OutputTile::new(scores, padded, columns, panel, &mut scratch.narrow).store(simd, sums);
    }
    let scores = &mut scores.as_mut_slice()[..R * padded];
    let mut factors = [0.0; R];
    simd.vectorize(Exponentials {
        scores: &mut *scores,
        factors: &mut factors,
        tokens: head.tokens,
        scale: (head.size as f32).sqrt().recip(),
    });
    let panel = VALUE_VECTORS * S::F32_LANES;
    for (number, values) in scratch
        .values
        .as_slice()
        .chunks_exact(panel * head.tokens)
        .enumerate()
    {
        let lhs = Lhs {
            values: scores,
            stride: padded,
            len: head.tokens,
        };
        let (values, _) = S::as_simd_f32s(values);
        let (values, _) = values.as_chunks::<VALUE_VECTORS>();
        let sums = [[simd.splat_f32s(0.0); VALUE_VECTORS]; R];
        let mut sums = microkernel(simd, sums, once(lhs), values, &mut Prefetch::none());
        for row in 0..R {
            let factor = simd.splat_f32s(factors[row]);
            for sum in &mut sums[row] {
                *sum = simd.mul_f32s(*sum, factor);
            }
        }
        let columns = number * panel..((number + 1) * panel).min(head.size);
        let columns = head.first + columns.start..head.first + columns.end;
        let mut output = OutputTile::new(queries, head.width, columns, panel, &mut scratch.narrow);
        output.store(simd, sums);
        output.finish(simd, None);
    }
}

/// Replaces scores, `[queries, tokens and more]` in whole vectors, by the exponentials of their
/// softmax.
///
/// A function of its own: its constants would else be given the registers that sums need.
struct Exponentials<'a> {
    scores: &'a mut [f32],
    /// Factor for the exponentials of each query.
    factors: &'a mut [f32],
    tokens: usize,
    /// Factor for the scores before the exponential.
    scale: f32,
}

impl WithSimd for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let scale = simd.splat_f32s(self.scale);
        let padded = self.scores.len() / self.factors.len();
        for (scores, factor) in self.scores.chunks_exact_mut(padded).zip(self.factors) {
            scores[self.tokens..].fill(f32::NEG_INFINITY);
            let (vectors, _) = S::as_mut_simd_f32s(scores);
            let mut max = simd.splat_f32s(f32::NEG_INFINITY);
            for x in vectors.iter() {
                max = simd.max_f32s(max, *x);
            }
            let max = simd.splat_f32s(simd.reduce_max_f32s(max));
            let mut sum = simd.splat_f32s(0.0);
            for x in vectors {
                let less = simd.mul_f32s(simd.sub_f32s(*x, max), scale);
                *x = exp_negative(simd, less);
                sum = simd.add_f32s(sum, *x);
            }
            *factor = simd.reduce_sum_f32s(sum).recip();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One head in f64, straight from the definition.
    fn expected(
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        width: usize,
        head: std::ops::Range<usize>,
    ) -> Vec<f64> {
        let tokens = keys.len() / width;
        let row = |matrix: &[f32], token: usize| {
            matrix[token * width..][head.clone()]
                .iter()
                .map(|x| f64::from(*x))
                .collect::<Vec<_>>()
        };
        (0..tokens)
            .flat_map(|token| {
                let query = row(queries, token);
                let shares: Vec<f64> = (0..tokens)
                    .map(|other| {
                        let keys = row(keys, other);
                        let score: f64 = keys.iter().zip(&query).map(|(k, q)| k * q).sum();
                        (score / (head.len() as f64).sqrt()).exp()
                    })
                    .collect();
                let all: f64 = shares.iter().sum();
                (0..head.len())
                    .map(|at| {
                        (0..tokens)
                            .map(|other| shares[other] / all * row(values, other)[at])
                            .sum()
                    })
                    .collect::<Vec<f64>>()
            })
            .collect()
    }

    #[test]
    fn rows_of_any_length_and_heads_of_any_size() {
        for (tokens, heads, head_size) in [
            (1, 3, 32),
            (2, 1, 64),
            (7, 2, 5),
            (9, 1, 1),
            (48, 3, 32),
            (50, 2, 33),
            (130, 1, 96),
        ] {
            let width = heads * head_size;
            let matrix = |salt: usize| -> Vec<f32> {
                (0..tokens * width)
                    .map(|at| ((at * 37 + salt * 101) % 97) as f32 / 97.0 - 0.5)
                    .collect()
            };
            let (mut queries, keys, values) = (matrix(1), matrix(2), matrix(3));
            let asked = queries.clone();
            Attention {
                queries: &mut queries,
                keys: &keys,
                values: &values,
                width,
                head_size,
            }
            .run();
            for head in 0..heads {
                let columns = head * head_size..(head + 1) * head_size;
                let expected = expected(&asked, &keys, &values, width, columns.clone());
                let found = queries
                    .chunks_exact(width)
                    .flat_map(|row| &row[columns.clone()]);
                for (found, expected) in found.zip(expected) {
                    assert!(
                        (f64::from(*found) - expected).abs() < 1e-6,
                        "{tokens} {heads} {head_size}: {found} {expected}"
                    );
                }
            }
        }
    }
}
