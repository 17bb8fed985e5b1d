//! The left side of a product: f32 values as bytes, with scales found when they are known.

use pulp::{Simd, WithSimd};

use super::groups::{Groups, STEP};
use crate::aligned::Aligned;
use crate::blocked::Matrix;
use crate::parallel::Parallelism;
use crate::simd::dispatch;

/// Words before a group's bytes: scale and zero point, as bits of f32.
const HEADER_WORDS: usize = 2;

/// Fewest tokens that one thread of several quantizes.
const TOKENS_MIN: usize = 8;

/// A matrix of bytes. In each group a token's value is `byte * scale + zero_point`: byte 0 is the
/// minimum of the group, byte 255 the maximum.
#[derive(Debug, Default)]
pub struct QuantizedActivations {
    /// For each group `[T, HEADER_WORDS + len / STEP]`.
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
    /// Value of byte 0.
    pub(super) zero_point: f32,
    /// [`STEP`] bytes each.
    pub(super) bytes: &'a [u32],
}

impl QuantizedActivations {
    /// Replaces the content by that of `x`, within half a scale.
    pub(crate) fn quantize(&mut self, x: Matrix<'_>, parallelism: Parallelism) {
        let groups = Groups::new(x.columns);
        let stride = stride(groups);
        self.words.resize(x.tokens * groups.count() * stride);
        let parts = parallelism.parts(groups.count());
        let tokens = x.tokens.div_ceil(parts).next_multiple_of(TOKENS_MIN);
        parallelism.for_each_chunk(
            self.words.as_mut_slice(),
            x.tokens * stride,
            |group, words| {
                let (block, columns) = groups.in_block(group);
                parallelism.for_each_chunk(words, tokens * stride, |part, words| {
                    let width = x.columns.columns(block).len();
                    dispatch(Quantize {
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

    /// Returns a group of a matrix of `tokens` tokens.
    #[inline(always)]
    pub(super) fn group(&self, groups: Groups, tokens: usize, group: usize) -> Group<'_> {
        let stride = stride(groups);
        Group {
            words: &self.words.as_slice()[group * tokens * stride..][..tokens * stride],
            stride,
        }
    }

    /// Number of tokens of a matrix in these groups.
    pub(super) fn tokens(&self, groups: Groups) -> usize {
        self.words.as_slice().len() / (groups.count() * stride(groups))
    }
}

fn stride(groups: Groups) -> usize {
    HEADER_WORDS + groups.len() / STEP
}

impl<'a> Group<'a> {
    #[inline(always)]
    pub(super) fn token(self, token: usize) -> Token<'a> {
        let (header, bytes) =
            self.words[token * self.stride..][..self.stride].split_at(HEADER_WORDS);
        Token {
            scale: f32::from_bits(header[0]),
            zero_point: f32::from_bits(header[1]),
            bytes,
        }
    }
}

/// Quantizes one group of some tokens.
struct Quantize<'a> {
    /// From the first token's first value.
    x: &'a [f32],
    /// Distance from a token's first value to the next token's.
    width: usize,
    columns: usize,
    words: &'a mut [u32],
    stride: usize,
}

impl WithSimd for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Adding this constant leaves the nearest integer in the low bits of the mantissa.
        const ROUND: f32 = 12_582_912.0;
        for (token, words) in self.words.chunks_exact_mut(self.stride).enumerate() {
            let x = &self.x[token * self.width..][..self.columns];
            let (min, max) = min_max(simd, x);
            let range = max - min;
            let inverse = if range > 0.0 { 255.0 / range } else { 0.0 };
            let (header, bytes) = words.split_at_mut(HEADER_WORDS);
            header[0] = (range / 255.0).to_bits();
            header[1] = min.to_bits();
            let bytes: &mut [u8] = pulp::bytemuck::cast_slice_mut(bytes);
            let (bytes, padding) = bytes.split_at_mut(x.len());
            for (byte, x) in bytes.iter_mut().zip(x) {
                *byte = ((x - min) * inverse + ROUND).to_bits() as u8;
            }
            padding.fill(0);
        }
    }
}

/// Returns the minimum and the maximum of some values.
#[inline(always)]
fn min_max<S: Simd>(simd: S, values: &[f32]) -> (f32, f32) {
    let (vectors, rest) = S::as_simd_f32s(values);
    let mut min = simd.splat_f32s(f32::INFINITY);
    let mut max = simd.splat_f32s(f32::NEG_INFINITY);
    for x in vectors {
        min = simd.min_f32s(min, *x);
        max = simd.max_f32s(max, *x);
    }
    let mut both = (simd.reduce_min_f32s(min), simd.reduce_max_f32s(max));
    for x in rest {
        both = (both.0.min(*x), both.1.max(*x));
    }
    both
}
