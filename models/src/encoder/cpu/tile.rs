//! The innermost step of every product: a few tokens times a few columns, summed in registers.

use std::ops::Range;
use std::sync::atomic::{Ordering, compiler_fence};

use pulp::Simd;
use pulp::bytemuck::{self, NoUninit};

use super::prefetch::{LINE, prefetch};
use super::simd::multiply_add;

/// Vectors of columns in a tile. The sums of a whole tile, as many vectors of the right side and
/// one value of the left side leave a register or more free: with none to spare, compilers keep
/// sums in memory.
#[inline(always)]
pub(super) const fn vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 3 } else { 2 }
}

/// Tokens of the largest tile.
#[inline(always)]
pub(super) const fn tokens_max<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 6 }
}

/// Tokens in tiles of much the same size, none larger than `most`: a small tile has fewer sums than
/// additions that are under way at once.
#[inline(always)]
pub(super) fn tiles(tokens: usize, most: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let count = tokens.div_ceil(most);
    (0..count).map(move |tile| tile * tokens / count..(tile + 1) * tokens / count)
}

/// Steps between two requests for memory.
const STEPS: usize = 8;

/// Memory to bring near meanwhile, since the processor's own foresight ends where a panel of
/// weights does.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a> {
    bytes: &'a [u8],
    /// Cache lines to ask for every [`STEPS`] steps.
    lines: usize,
    /// Cache lines that were asked for.
    asked: usize,
}

impl<'a> Ahead<'a> {
    pub(super) fn nothing() -> Self {
        Self {
            bytes: &[],
            lines: 0,
            asked: 0,
        }
    }

    /// Requests that bring the share of `values` with this number, of so many bytes, near in the
    /// course of `steps`.
    #[inline(always)]
    pub(super) fn share<T: NoUninit>(
        values: &'a [T],
        number: usize,
        share: usize,
        steps: usize,
    ) -> Self {
        let bytes = bytemuck::cast_slice::<T, u8>(values);
        Self {
            bytes: bytes.get(number * share..).unwrap_or(&[]),
            lines: share.div_ceil(LINE).div_ceil((steps / STEPS).max(1)),
            asked: 0,
        }
    }

    /// To be called in each step: asks where it is time to.
    #[inline(always)]
    pub(super) fn step(&mut self, at: usize) {
        if at.is_multiple_of(STEPS) {
            for _ in 0..self.lines {
                prefetch(self.bytes, self.asked * LINE);
                self.asked += 1;
            }
        }
    }
}

/// A part of the left side: some values for each token.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    /// From a token's first value to the next token's.
    pub(super) stride: usize,
    /// Values for each token.
    pub(super) len: usize,
}

impl<'a> Rows<'a> {
    /// Those of the first tokens.
    #[inline(always)]
    fn take<const R: usize>(self) -> [&'a [f32]; R] {
        let mut rows: [&[f32]; R] = [&[]; R];
        for (row, values) in rows.iter_mut().enumerate() {
            *values = &self.values[row * self.stride..][..self.len];
        }
        rows
    }
}

/// The right side: rows of `V` vectors.
pub(super) trait Right<S: Simd, const V: usize>: Sized {
    /// Returns the first rows, and those after.
    fn split_at(self, rows: usize) -> (Self, Self);

    /// Called once for each, from the first to the last.
    fn row(&mut self, simd: S, at: usize) -> [S::f32s; V];
}

impl<S: Simd, const V: usize> Right<S, V> for &[[S::f32s; V]] {
    #[inline(always)]
    fn split_at(self, rows: usize) -> (Self, Self) {
        <[_]>::split_at(self, rows)
    }

    #[inline(always)]
    fn row(&mut self, _: S, at: usize) -> [S::f32s; V] {
        self[at]
    }
}

/// `sums + left right`: for each token as many values on the left, in parts, as there are rows of
/// `V` vectors on the right.
///
/// The products are added one after another, in the order of the rows: a sum never depends on which
/// other tokens and columns are in the tile.
///
/// Here and in all code on vectors loops are written out: what a closure does is compiled for this
/// processor's vectors only if the compiler chooses to make it part of its caller.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
pub(super) fn accumulate<'a, S: Simd, const R: usize, const V: usize>(
    simd: S,
    mut sums: [[S::f32s; V]; R],
    left: impl Iterator<Item = Rows<'a>>,
    mut right: impl Right<S, V>,
    ahead: &mut Ahead<'_>,
) -> [[S::f32s; V]; R] {
    for part in left {
        let rows = part.take::<R>();
        let (mut these, after) = right.split_at(part.len);
        right = after;
        for at in 0..part.len {
            ahead.step(at);
            let vectors = these.row(simd, at);
            for row in 0..R {
                if S::REGISTER_COUNT < 32 {
                    // Else compilers read the left side's values of all tokens first, for which
                    // there are no registers.
                    compiler_fence(Ordering::SeqCst);
                }
                let value = simd.splat_f32s(rows[row][at]);
                for column in 0..V {
                    sums[row][column] =
                        multiply_add(simd, value, vectors[column], sums[row][column]);
                }
            }
        }
    }
    sums
}

/// Evaluates `$call` with the number of tokens, `$most` or fewer, as the constant `$R`.
macro_rules! with_tokens {
    ($most:expr, $tokens:expr, $R:ident => $call:expr) => {
        with_tokens!(@arms $most, $tokens, $R, $call, 1 2 3 4 5 6 7 8)
    };
    (@arms $most:expr, $tokens:expr, $R:ident, $call:expr, $($count:literal)*) => {
        match $tokens {
            $($count if $count <= $most => {
                const $R: usize = $count;
                $call
            })*
            tokens => unreachable!("a tile of {tokens} tokens"),
        }
    };
}
pub(super) use with_tokens;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_all_tokens_and_are_alike() {
        for tokens in 0..200 {
            for most in [6, 8] {
                let tiles: Vec<_> = tiles(tokens, most).collect();
                assert_eq!(tiles.len(), tokens.div_ceil(most));
                let mut next = 0;
                for tile in &tiles {
                    assert_eq!(tile.start, next);
                    next = tile.end;
                    assert!(tile.len() <= most && tile.len() >= tokens / tiles.len());
                }
                assert_eq!(next, tokens);
            }
        }
    }
}
