//! The innermost step of every product: a few tokens times a few columns, summed in registers.

use std::ops::Range;
use std::sync::atomic::{Ordering, compiler_fence};

use pulp::bytemuck::{self, NoUninit};
use pulp::{Simd, WithSimd};

use super::prefetch::{LINE, prefetch};
use crate::simd::{dispatch, multiply_add};

/// Size of a tile of sums. All sums of a tile, as many vectors of the right side as it has columns
/// of vectors, and one value of the left side leave a register or more free: with none to spare,
/// compilers keep sums in memory.
pub(crate) trait TileSize: Simd {
    /// Vectors of columns.
    const NR: usize = if Self::REGISTER_COUNT >= 32 { 3 } else { 2 };
    /// Most tokens.
    const MR: usize = if Self::REGISTER_COUNT >= 32 { 8 } else { 6 };
}

impl<S: Simd> TileSize for S {}

/// Columns of a tile of sums: at most `vectors` vectors of `lanes` columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileShape {
    pub(crate) lanes: usize,
    pub(crate) vectors: usize,
}

impl TileShape {
    /// Returns the tile of products in floats on this processor.
    pub(crate) fn of_floats() -> Self {
        struct Shape;
        impl WithSimd for Shape {
            type Output = TileShape;
            fn with_simd<S: Simd>(self, _: S) -> TileShape {
                TileShape {
                    lanes: S::F32_LANES,
                    vectors: S::NR,
                }
            }
        }
        dispatch(Shape)
    }
}

/// Returns the number of vectors of `lanes` columns that the columns of a block are packed in, for
/// tiles of at most `most` vectors: two at least where a tile has three, so that none has one.
#[inline(always)]
pub(crate) fn vectors_of(columns: usize, lanes: usize, most: usize) -> usize {
    columns.div_ceil(lanes).max(most - 1)
}

/// Cuts the vectors of a block's columns into panels of at most `most` vectors, as equal as can be:
/// a panel of one vector has few sums for what it reads.
#[inline(always)]
pub(crate) fn panels_of(
    columns: usize,
    lanes: usize,
    most: usize,
) -> impl ExactSizeIterator<Item = Range<usize>> {
    tiles(vectors_of(columns, lanes, most), most)
}

/// Cuts `tokens` tokens into tiles of much the same size, none larger than `most`: a small tile has
/// fewer sums than additions that are under way at once.
#[inline(always)]
pub(crate) fn tiles(tokens: usize, most: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let count = tokens.div_ceil(most);
    (0..count).map(move |tile| tile * tokens / count..(tile + 1) * tokens / count)
}

/// Steps between two requests for memory.
const STEPS: usize = 8;

/// Software prefetch of memory that is needed next: a processor's own prefetchers stop at the end
/// of a panel of weights.
#[derive(Clone, Copy)]
pub(crate) struct Prefetch<'a> {
    bytes: &'a [u8],
    /// Cache lines to request every [`STEPS`] steps.
    lines: usize,
    /// Cache lines requested so far.
    requested: usize,
}

impl<'a> Prefetch<'a> {
    pub(crate) fn none() -> Self {
        Self {
            bytes: &[],
            lines: 0,
            requested: 0,
        }
    }

    /// Returns requests, made in the course of `steps` steps, for the share number `number` of
    /// `values`, where each share has `share` bytes.
    #[inline(always)]
    pub(crate) fn share<T: NoUninit>(
        values: &'a [T],
        number: usize,
        share: usize,
        steps: usize,
    ) -> Self {
        let bytes = bytemuck::cast_slice::<T, u8>(values);
        Self {
            bytes: bytes.get(number * share..).unwrap_or(&[]),
            lines: share.div_ceil(LINE).div_ceil((steps / STEPS).max(1)),
            requested: 0,
        }
    }

    /// Makes the requests of step `at`. To be called in each step.
    #[inline(always)]
    pub(crate) fn step(&mut self, at: usize) {
        if at.is_multiple_of(STEPS) {
            for _ in 0..self.lines {
                prefetch(self.bytes, self.requested * LINE);
                self.requested += 1;
            }
        }
    }
}

/// A part of the left side: `len` values for each token.
#[derive(Clone, Copy)]
pub(crate) struct Lhs<'a> {
    pub(crate) values: &'a [f32],
    /// Distance from a token's first value to the next token's.
    pub(crate) stride: usize,
    /// Values for each token.
    pub(crate) len: usize,
}

impl<'a> Lhs<'a> {
    /// Returns the values of the first `R` tokens.
    #[inline(always)]
    fn rows<const R: usize>(self) -> [&'a [f32]; R] {
        let mut rows: [&[f32]; R] = [&[]; R];
        for (row, values) in rows.iter_mut().enumerate() {
            *values = &self.values[row * self.stride..][..self.len];
        }
        rows
    }
}

/// The right side: rows of `V` vectors.
pub(crate) trait Rhs<S: Simd, const V: usize>: Sized {
    /// Returns the first `rows` rows, and those after.
    fn split_at(self, rows: usize) -> (Self, Self);

    /// Returns a row. Called once for each, from the first to the last.
    fn row(&mut self, simd: S, at: usize) -> [S::f32s; V];
}

impl<S: Simd, const V: usize> Rhs<S, V> for &[[S::f32s; V]] {
    #[inline(always)]
    fn split_at(self, rows: usize) -> (Self, Self) {
        <[_]>::split_at(self, rows)
    }

    #[inline(always)]
    fn row(&mut self, _: S, at: usize) -> [S::f32s; V] {
        self[at]
    }
}

/// Returns `sums + lhs rhs`. The left side has, in parts, as many values for each token as the
/// right side has rows of `V` vectors.
///
/// The products are added one after another, in the order of the rows: a sum never depends on which
/// other tokens and columns are in the tile.
///
/// Here and in all code on vectors loops are written out: what a closure does is compiled for this
/// processor's vectors only if the compiler chooses to make it part of its caller.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
pub(crate) fn microkernel<'a, S: Simd, const R: usize, const V: usize>(
    simd: S,
    mut sums: [[S::f32s; V]; R],
    lhs: impl Iterator<Item = Lhs<'a>>,
    mut rhs: impl Rhs<S, V>,
    prefetch: &mut Prefetch<'_>,
) -> [[S::f32s; V]; R] {
    for part in lhs {
        let rows = part.rows::<R>();
        let (mut these, after) = rhs.split_at(part.len);
        rhs = after;
        for at in 0..part.len {
            prefetch.step(at);
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
pub(crate) use with_tokens;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_panel_is_narrower_than_it_must_be() {
        for (columns, lanes, most, expected) in [
            (128, 16, 3, &[2, 3, 3][..]),
            (96, 16, 3, &[3, 3]),
            (64, 16, 3, &[2, 2]),
            (5, 16, 3, &[2]),
            (78, 16, 3, &[2, 3]),
            (64, 8, 2, &[2, 2, 2, 2]),
            (20, 8, 2, &[1, 2]),
            (1, 8, 2, &[1]),
        ] {
            let panels: Vec<usize> = panels_of(columns, lanes, most)
                .map(|panel| panel.len())
                .collect();
            assert_eq!(panels, expected, "{columns} columns, {most} x {lanes}");
        }
    }

    #[test]
    fn tiles_hold_all_tokens_and_have_much_the_same_size() {
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
