//! Attention within one row: `softmax(Q K^T) V` for each head, a few queries at a time.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};

use super::activation::exp_negative;
use super::aligned::Aligned;
use super::simd::{dispatch, store};
use super::tile::{Ahead, Rows, VECTORS, accumulate, tokens_max, with_tokens};

/// Vectors of columns in a tile of the product with the values: heads have 32 or 64 columns, seldom a multiple of three vectors.
const VALUE_VECTORS: usize = 2;

/// A row of L tokens, its heads that lie in one block of columns.
pub(super) struct Attention<'a> {
    /// `[L, width]`; becomes the result. The queries' scale is already in them.
    pub(super) queries: &'a mut [f32],
    /// `[L, width]`
    pub(super) keys: &'a [f32],
    /// `[L, width]`
    pub(super) values: &'a [f32],
    pub(super) width: usize,
    pub(super) head_size: usize,
}

impl Attention<'_> {
    pub(super) fn run(self) {
        thread_local!(static ROOM: RefCell<Room> = RefCell::default());
        ROOM.with_borrow_mut(|room| {
            dispatch(Run {
                attention: self,
                room,
            })
        });
    }
}

/// Memory for one head.
#[derive(Default)]
struct Room {
    /// Keys, transposed, in panels: `[panels, head size, VECTORS * lanes]`.
    keys: Aligned<f32>,
    /// Values in panels: `[panels, L, VALUE_VECTORS * lanes]`.
    values: Aligned<f32>,
    /// Scores of one tile of queries: `[tokens, L]`, each token's filled up to whole panels.
    scores: Aligned<f32>,
}

struct Run<'a> {
    attention: Attention<'a>,
    room: &'a mut Room,
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
        let most = const { tokens_max::<S>() };
        self.room
            .scores
            .resize(most * tokens.next_multiple_of(VECTORS * S::F32_LANES));
        for first in (0..width).step_by(head_size) {
            let head = Head {
                width,
                first,
                size: head_size,
                tokens,
            };
            pack_keys(&mut self.room.keys, VECTORS * S::F32_LANES, head, keys);
            pack_values(
                &mut self.room.values,
                VALUE_VECTORS * S::F32_LANES,
                head,
                values,
            );
            for token in (0..tokens).step_by(most) {
                let count = (tokens - token).min(most);
                let queries = &mut queries[token * width..][..count * width];
                with_tokens!(S, most, count, attend(simd, head, queries, self.room));
            }
        }
    }
}

fn pack_keys(room: &mut Aligned<f32>, panel: usize, head: Head, keys: &[f32]) {
    room.resize(head.tokens.next_multiple_of(panel) * head.size);
    let panels = room.as_mut_slice().chunks_exact_mut(panel * head.size);
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

fn pack_values(room: &mut Aligned<f32>, panel: usize, head: Head, values: &[f32]) {
    room.resize(head.size.next_multiple_of(panel) * head.tokens);
    let panels = room.as_mut_slice().chunks_exact_mut(panel * head.tokens);
    for (number, packed) in panels.enumerate() {
        let columns = number * panel..((number + 1) * panel).min(head.size);
        for (row, value) in packed
            .chunks_exact_mut(panel)
            .zip(values.chunks_exact(head.width))
        {
            let (there, beyond) = row.split_at_mut(columns.len());
            there.copy_from_slice(&value[head.first..][columns.clone()]);
            beyond.fill(0.0);
        }
    }
}

#[derive(Clone, Copy)]
struct Head {
    width: usize,
    /// Its first column in the block.
    first: usize,
    /// Its columns.
    size: usize,
    tokens: usize,
}

/// `R` queries of one head; their place takes the result.
#[inline(always)]
fn attend<S: Simd, const R: usize>(simd: S, head: Head, queries: &mut [f32], room: &mut Room) {
    let panel = VECTORS * S::F32_LANES;
    let padded = head.tokens.next_multiple_of(panel);
    let scores = room.scores.as_mut_slice();
    for (number, keys) in room
        .keys
        .as_slice()
        .chunks_exact(panel * head.size)
        .enumerate()
    {
        let left = Rows {
            values: &queries[head.first..],
            stride: head.width,
        };
        let (keys, _) = S::as_simd_f32s(keys);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; R];
        accumulate(
            simd,
            &mut sums,
            left,
            keys.as_chunks().0,
            &mut Ahead::nothing(),
        );
        for (row, sums) in sums.into_iter().enumerate() {
            store(
                simd,
                &mut scores[row * padded + number * panel..][..panel],
                sums,
            );
        }
    }
    let mut scales = [0.0; R];
    for (scale, scores) in scales.iter_mut().zip(scores.chunks_exact_mut(padded)) {
        scores[head.tokens..].fill(f32::NEG_INFINITY);
        *scale = exponentials(simd, scores).recip();
    }
    let left = Rows {
        values: scores,
        stride: padded,
    };
    let panel = VALUE_VECTORS * S::F32_LANES;
    for (number, values) in room
        .values
        .as_slice()
        .chunks_exact(panel * head.tokens)
        .enumerate()
    {
        let (values, _) = S::as_simd_f32s(values);
        let mut sums = [[simd.splat_f32s(0.0); VALUE_VECTORS]; R];
        accumulate(
            simd,
            &mut sums,
            left,
            values.as_chunks().0,
            &mut Ahead::nothing(),
        );
        let columns = number * panel..((number + 1) * panel).min(head.size);
        for (row, sums) in sums.into_iter().enumerate() {
            let scale = simd.splat_f32s(scales[row]);
            let mut shares = sums;
            for share in &mut shares {
                *share = simd.mul_f32s(*share, scale);
            }
            store(
                simd,
                &mut queries[row * head.width + head.first..][columns.clone()],
                shares,
            );
        }
    }
}

/// Each value to its exponential, divided by that of the largest; gives their sum. The length is whole vectors.
#[inline(always)]
fn exponentials<S: Simd>(simd: S, values: &mut [f32]) -> f32 {
    let (vectors, _) = S::as_mut_simd_f32s(values);
    let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
    for x in vectors.iter() {
        largest = simd.max_f32s(largest, *x);
    }
    let largest = simd.splat_f32s(simd.reduce_max_f32s(largest));
    let mut sum = simd.splat_f32s(0.0);
    for x in vectors {
        *x = exp_negative(simd, simd.sub_f32s(*x, largest));
        sum = simd.add_f32s(sum, *x);
    }
    simd.reduce_sum_f32s(sum)
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
                        row(keys, other)
                            .iter()
                            .zip(&query)
                            .map(|(k, q)| k * q)
                            .sum::<f64>()
                            .exp()
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
