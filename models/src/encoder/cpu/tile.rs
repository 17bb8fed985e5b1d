//! The innermost step of every product: a few tokens times a few columns, summed in registers.

use pulp::Simd;

use super::prefetch::{LINE, prefetch};

/// Vectors of columns in a tile of a product with weights. With 8 tokens (4 where there are 16 registers) sums, weights and one
/// value of the left side fill the registers.
pub(super) const VECTORS: usize = 3;

/// Tokens of the largest tile.
#[inline(always)]
pub(super) const fn tokens_max<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 4 }
}

/// Steps between two requests for memory.
const STEPS: usize = 8;

/// Memory to bring near meanwhile, since the processor's own foresight ends where a panel of weights does.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a, T> {
    values: &'a [T],
    /// Cache lines to ask for every [`STEPS`] steps.
    lines: usize,
    /// Cache lines that were asked for.
    asked: usize,
}

impl<'a, T> Ahead<'a, T> {
    pub(super) fn nothing() -> Self {
        Self {
            values: &[],
            lines: 0,
            asked: 0,
        }
    }

    /// Requests that bring `share` of `values` near in the course of `steps`.
    #[inline(always)]
    pub(super) fn share(values: &'a [T], share: usize, steps: usize) -> Self {
        let lines = share.div_ceil(LINE).div_ceil((steps / STEPS).max(1));
        Self {
            values,
            lines,
            asked: 0,
        }
    }

    /// To be called in each step: asks where it is time to.
    #[inline(always)]
    pub(super) fn step(&mut self, at: usize) {
        if at.is_multiple_of(STEPS) {
            for _ in 0..self.lines {
                prefetch(self.values, self.asked * LINE);
                self.asked += 1;
            }
        }
    }
}

/// The left side: a vector for each token.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    /// From a token's first value to the next token's.
    pub(super) stride: usize,
}

impl<'a> Rows<'a> {
    /// The first values of the first tokens.
    #[inline(always)]
    fn take<const R: usize>(self, len: usize) -> [&'a [f32]; R] {
        let mut rows: [&[f32]; R] = [&[]; R];
        for (row, values) in rows.iter_mut().enumerate() {
            *values = &self.values[row * self.stride..][..len];
        }
        rows
    }
}

/// `sums += left right`: `left` has as many values for each token as `right` has rows of `V` vectors.
///
/// The products are added one after another, in the order of the rows: a sum never depends on which other tokens and columns
/// are in the tile.
///
/// Here and in all code on vectors loops are written out: what a closure does is compiled for this processor's vectors only if the
/// compiler chooses to make it part of its caller.
#[inline(always)]
pub(super) fn accumulate<S: Simd, const R: usize, const V: usize>(
    simd: S,
    sums: &mut [[S::f32s; V]; R],
    left: Rows<'_>,
    right: &[[S::f32s; V]],
    ahead: &mut Ahead<'_, f32>,
) {
    let left = left.take::<R>(right.len());
    // A copy that nothing else looks at stays in registers.
    let mut inner = *sums;
    for (at, vectors) in right.iter().enumerate() {
        ahead.step(at);
        for row in 0..R {
            let value = simd.splat_f32s(left[row][at]);
            for column in 0..V {
                inner[row][column] =
                    simd.mul_add_e_f32s(value, vectors[column], inner[row][column]);
            }
        }
    }
    *sums = inner;
}

/// Calls `$function::<S, R>(arguments)` with the number of tokens, `$most` or fewer, as the constant `R`.
macro_rules! with_tokens {
    ($simd:ty, $most:expr, $tokens:expr, $function:ident ( $($argument:expr),* $(,)? )) => {{
        match $tokens {
            1 => $function::<$simd, 1>($($argument),*),
            2 => $function::<$simd, 2>($($argument),*),
            3 => $function::<$simd, 3>($($argument),*),
            4 => $function::<$simd, 4>($($argument),*),
            5 if $most == 8 => $function::<$simd, 5>($($argument),*),
            6 if $most == 8 => $function::<$simd, 6>($($argument),*),
            7 if $most == 8 => $function::<$simd, 7>($($argument),*),
            8 if $most == 8 => $function::<$simd, 8>($($argument),*),
            tokens => unreachable!("a tile of {tokens} tokens"),
        }
    }};
}
pub(super) use with_tokens;
