//! The softmax of scores: exponentials, and a factor for each query.

use pulp::{Simd, WithSimd};

use super::{Bias, Mask};
use crate::activation::exp_negative;

/// Scale, mask and bias of the scores of a tile of queries.
#[derive(Clone, Copy)]
pub(super) struct Scoring<'a> {
    pub(super) scale: f32,
    pub(super) mask: Mask,
    /// The bias of the row, and the number of the head.
    pub(super) bias: Option<(Bias<'a>, usize)>,
    /// Tokens of the row.
    pub(super) tokens: usize,
    /// Those that are attended.
    pub(super) attended: usize,
    /// Position of the tile's first query.
    pub(super) query: usize,
    /// Position of the first key that is packed.
    pub(super) keys: usize,
}

/// Replaces scores, `[queries, keys and more]` in whole vectors, by the exponentials of their
/// softmax.
///
/// A function of its own: its constants would else be given the registers that sums need.
pub(super) struct Exponentials<'a> {
    pub(super) scores: &'a mut [f32],
    /// Factor for the exponentials of each query.
    pub(super) factors: &'a mut [f32],
    pub(super) tokens: usize,
    /// Factor for the scores before the exponential.
    pub(super) scale: f32,
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

/// Does the same with a bias, or where a query does not see all keys: the exponentials of those
/// that it does not see are 0. The exponential function never is, so they are set.
pub(super) struct MaskedExponentials<'a> {
    pub(super) scores: &'a mut [f32],
    /// Factor for the exponentials of each query.
    pub(super) factors: &'a mut [f32],
    pub(super) scoring: Scoring<'a>,
    /// Position of the key of the first score.
    pub(super) first_key: usize,
}

impl WithSimd for MaskedExponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let scoring = self.scoring;
        let padded = self.scores.len() / self.factors.len();
        let rows = self.scores.chunks_exact_mut(padded).zip(self.factors);
        for (query, (scores, factor)) in (scoring.query..).zip(rows) {
            let keys = scoring.mask.range(query, scoring.attended);
            let seen = keys.start - self.first_key..keys.end - self.first_key;
            let mut scale = scoring.scale;
            if let Some((bias, head)) = scoring.bias {
                let bias = bias.of(head, query, keys, scoring.tokens);
                for (score, bias) in scores[seen.clone()].iter_mut().zip(bias) {
                    *score = *score * scale + bias;
                }
                scale = 1.0;
            }
            scores[..seen.start].fill(f32::NEG_INFINITY);
            scores[seen.end..].fill(f32::NEG_INFINITY);
            // Those that hold a score that counts.
            let vectors_seen = seen.start / S::F32_LANES..seen.end.div_ceil(S::F32_LANES);
            let (vectors, _) = S::as_mut_simd_f32s(scores);
            let vectors = &mut vectors[vectors_seen.clone()];
            let mut max = simd.splat_f32s(f32::NEG_INFINITY);
            for x in vectors.iter() {
                max = simd.max_f32s(max, *x);
            }
            let max = simd.splat_f32s(simd.reduce_max_f32s(max));
            for x in vectors {
                let less = simd.mul_f32s(simd.sub_f32s(*x, max), simd.splat_f32s(scale));
                *x = exp_negative(simd, less);
            }
            scores[..seen.start].fill(0.0);
            scores[seen.end..].fill(0.0);
            let (vectors, _) = S::as_simd_f32s(scores);
            let mut sum = simd.splat_f32s(0.0);
            for x in &vectors[vectors_seen] {
                sum = simd.add_f32s(sum, *x);
            }
            // No key at all: their sum is 0, and so is the result.
            *factor = match seen.is_empty() {
                true => 0.0,
                false => simd.reduce_sum_f32s(sum).recip(),
            };
        }
    }
}
