//! The left side of a product: f32 values as bytes, scaled when they are known.

use pulp::{Simd, WithSimd};

use super::groups::{Groups, STEP};
use crate::encoder::cpu::aligned::Aligned;
use crate::encoder::cpu::blocks::Matrix;
use crate::encoder::cpu::simd::dispatch;
use crate::encoder::cpu::workers::Workers;

/// Words before a group's bytes: scale and least value, as bits of f32.
const HEAD: usize = 2;

/// Fewest tokens that one thread of several scales.
const TOKENS_MIN: usize = 8;

/// A matrix of bytes. In each group a token's value is `byte * scale + least`, byte 0 is the least
/// and 255 the greatest of them.
#[derive(Debug, Default)]
pub(in crate::encoder::cpu) struct Left {
    /// For each group `[T, HEAD + len / STEP]`.
    words: Aligned<u32>,
}

/// One group of the left side.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    words: &'a [u32],
    /// Words of a token.
    stride: usize,
}

/// One group of a token.
#[derive(Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) scale: f32,
    pub(super) least: f32,
    /// [`STEP`] bytes each.
    pub(super) bytes: &'a [u32],
}

impl Left {
    /// Becomes what `x` is, within half a scale.
    pub(in crate::encoder::cpu) fn fill(&mut self, x: Matrix<'_>, workers: Workers) {
        let groups = Groups::of(x.columns);
        let stride = stride(groups);
        self.words.resize(x.tokens * groups.count() * stride);
        let parts = workers.count().div_ceil(groups.count());
        let tokens = x.tokens.div_ceil(parts).next_multiple_of(TOKENS_MIN);
        workers.for_each_chunk(
            self.words.as_mut_slice(),
            x.tokens * stride,
            |group, words| {
                let (block, columns) = groups.place(group);
                workers.for_each_chunk(words, tokens * stride, |part, words| {
                    let width = x.columns.of(block).len();
                    dispatch(Fill {
                        x: &x.block(block)[part * tokens * width + columns.start..],
                        width,
                        columns: columns.len(),
                        words,
                        stride,
                    });
                });
            },
        );
    }

    /// Returns a group of a matrix of so many tokens.
    #[inline(always)]
    pub(super) fn group(&self, groups: Groups, tokens: usize, group: usize) -> Group<'_> {
        let stride = stride(groups);
        Group {
            words: &self.words.as_slice()[group * tokens * stride..][..tokens * stride],
            stride,
        }
    }

    /// Tokens of a matrix in such groups.
    pub(super) fn tokens(&self, groups: Groups) -> usize {
        self.words.as_slice().len() / (groups.count() * stride(groups))
    }
}

fn stride(groups: Groups) -> usize {
    HEAD + groups.len() / STEP
}

impl<'a> Group<'a> {
    #[inline(always)]
    pub(super) fn token(self, token: usize) -> Token<'a> {
        let (head, bytes) = self.words[token * self.stride..][..self.stride].split_at(HEAD);
        Token {
            scale: f32::from_bits(head[0]),
            least: f32::from_bits(head[1]),
            bytes,
        }
    }
}

/// One group of some tokens.
struct Fill<'a> {
    /// From the first token's first value.
    x: &'a [f32],
    /// From a token's first value to the next token's.
    width: usize,
    columns: usize,
    words: &'a mut [u32],
    stride: usize,
}

impl WithSimd for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Adding this constant leaves the nearest whole number in the low bits of the mantissa.
        const ROUND: f32 = 12_582_912.0;
        for (token, words) in self.words.chunks_exact_mut(self.stride).enumerate() {
            let x = &self.x[token * self.width..][..self.columns];
            let (least, greatest) = ends(simd, x);
            let range = greatest - least;
            let inverse = if range > 0.0 { 255.0 / range } else { 0.0 };
            let (head, bytes) = words.split_at_mut(HEAD);
            head[0] = (range / 255.0).to_bits();
            head[1] = least.to_bits();
            let bytes: &mut [u8] = pulp::bytemuck::cast_slice_mut(bytes);
            let (bytes, beyond) = bytes.split_at_mut(x.len());
            for (byte, x) in bytes.iter_mut().zip(x) {
                *byte = ((x - least) * inverse + ROUND).to_bits() as u8;
            }
            beyond.fill(0);
        }
    }
}

/// Returns the least and the greatest of some values.
#[inline(always)]
fn ends<S: Simd>(simd: S, values: &[f32]) -> (f32, f32) {
    let (vectors, rest) = S::as_simd_f32s(values);
    let mut least = simd.splat_f32s(f32::INFINITY);
    let mut greatest = simd.splat_f32s(f32::NEG_INFINITY);
    for x in vectors {
        least = simd.min_f32s(least, *x);
        greatest = simd.max_f32s(greatest, *x);
    }
    let mut ends = (simd.reduce_min_f32s(least), simd.reduce_max_f32s(greatest));
    for x in rest {
        ends = (ends.0.min(*x), ends.1.max(*x));
    }
    ends
}
