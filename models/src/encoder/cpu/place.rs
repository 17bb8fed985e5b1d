//! Where the sums of a tile come from and go to.
//!
//! A tile's sums fill the registers, and stay there only if nothing between reads and writes of
//! whole vectors is asked of the compiler: what belongs to narrower columns is therefore computed
//! beside its place and copied.

use std::ops::Range;

use pulp::Simd;

use super::activation::gelu;
use super::aligned::Aligned;

/// Initial values of the sums of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The bias.
    Bias,
    /// The bias and the values that are stored already: a residual connection.
    Residual,
}

/// Epilogue: the operation on a sum before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Store,
    Gelu,
}

/// Some columns for the tokens of a tile, as whole vectors.
pub(super) struct Place<'a> {
    /// From the first column of the first token.
    values: &'a mut [f32],
    /// From a token to the next.
    stride: usize,
    /// Columns of the vectors.
    panel: usize,
    /// Where the values belong if these are not the place: the matrix, its width, and the columns
    /// in it.
    home: Option<(&'a mut [f32], usize, Range<usize>)>,
}

impl<'a> Place<'a> {
    /// Some columns of `out`, `[tokens, width]`, which are `panel` or fewer. `beside` is memory to
    /// use.
    #[inline(always)]
    pub(super) fn of(
        out: &'a mut [f32],
        width: usize,
        columns: Range<usize>,
        panel: usize,
        beside: &'a mut Aligned<f32>,
    ) -> Self {
        if columns.len() == panel {
            return Self {
                values: &mut out[columns.start..],
                stride: width,
                panel,
                home: None,
            };
        }
        beside.resize(out.len() / width * panel);
        let rows = beside.as_mut_slice().chunks_exact_mut(panel);
        for (row, out) in rows.zip(out.chunks_exact(width)) {
            row[..columns.len()].copy_from_slice(&out[columns.clone()]);
        }
        Self {
            values: beside.as_mut_slice(),
            stride: panel,
            panel,
            home: Some((out, width, columns)),
        }
    }

    /// Returns the initial sums of `R` tokens; without a start, the values that are stored already.
    #[inline(always)]
    pub(super) fn begin<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        bias: &[f32],
        start: Option<Start>,
    ) -> [[S::f32s; V]; R] {
        let (bias, _) = S::as_simd_f32s(bias);
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (row, sums) in sums.iter_mut().enumerate() {
            let (there, _) = S::as_simd_f32s(&self.values[row * self.stride..][..self.panel]);
            for column in 0..V {
                sums[column] = match start {
                    Some(Start::Bias) => bias[column],
                    Some(Start::Residual) => simd.add_f32s(bias[column], there[column]),
                    None => there[column],
                };
            }
        }
        sums
    }

    /// Takes the sums of `R` tokens.
    #[inline(always)]
    pub(super) fn put<S: Simd, const R: usize, const V: usize>(
        &mut self,
        _: S,
        sums: [[S::f32s; V]; R],
    ) {
        for (row, sums) in sums.into_iter().enumerate() {
            let there = &mut self.values[row * self.stride..][..self.panel];
            let (there, _) = S::as_mut_simd_f32s(there);
            for (there, sum) in there.iter_mut().zip(sums) {
                *there = sum;
            }
        }
    }

    /// To be called when the sums are there.
    #[inline(always)]
    pub(super) fn leave<S: Simd>(self, simd: S, end: Option<End>) {
        if end == Some(End::Gelu) {
            for row in self.values.chunks_mut(self.stride) {
                let (vectors, _) = S::as_mut_simd_f32s(&mut row[..self.panel]);
                for x in vectors {
                    *x = gelu(simd, *x);
                }
            }
        }
        if let Some((out, width, columns)) = self.home {
            let rows = self.values.chunks_exact(self.panel);
            for (out, row) in out.chunks_exact_mut(width).zip(rows) {
                out[columns.clone()].copy_from_slice(&row[..columns.len()]);
            }
        }
    }
}
