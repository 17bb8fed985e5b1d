//! Where the sums of a tile start, and what happens to them before they are stored.
//!
//! A tile's sums fill the registers, and stay there only if nothing but reads and writes of whole
//! vectors is asked of the compiler: sums of fewer columns are therefore computed in scratch memory
//! and copied.

use std::ops::Range;

use pulp::Simd;

use crate::activation::gelu;
use crate::aligned::Aligned;

/// Initial values of the sums of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// The bias.
    Bias,
    /// The bias and the values that are stored already: a residual connection.
    Residual,
}

/// Operation on the sums of a product before they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    /// None.
    Store,
    /// The exact GELU.
    Gelu,
}

/// Some columns of the result for the tokens of a tile, as whole vectors.
pub(crate) struct OutputTile<'a> {
    /// From the first column of the first token.
    values: &'a mut [f32],
    /// Distance from a token to the next.
    stride: usize,
    /// Columns of the vectors.
    panel: usize,
    /// Where the values belong if they are computed in scratch memory: the matrix, its width, and
    /// the columns in it.
    destination: Option<(&'a mut [f32], usize, Range<usize>)>,
}

impl<'a> OutputTile<'a> {
    /// Returns the tile of some columns, `panel` or fewer, of `out`, `[tokens, width]`.
    #[inline(always)]
    pub(crate) fn new(
        out: &'a mut [f32],
        width: usize,
        columns: Range<usize>,
        panel: usize,
        scratch: &'a mut Aligned<f32>,
    ) -> Self {
        if columns.len() == panel {
            return Self {
                values: &mut out[columns.start..],
                stride: width,
                panel,
                destination: None,
            };
        }
        scratch.resize(out.len() / width * panel);
        let rows = scratch.as_mut_slice().chunks_exact_mut(panel);
        for (row, out) in rows.zip(out.chunks_exact(width)) {
            row[..columns.len()].copy_from_slice(&out[columns.clone()]);
        }
        Self {
            values: scratch.as_mut_slice(),
            stride: panel,
            panel,
            destination: Some((out, width, columns)),
        }
    }

    /// Returns the initial sums of `R` tokens; without `init`, the values that are stored already.
    #[inline(always)]
    pub(crate) fn load<S: Simd, const R: usize, const V: usize>(
        &self,
        simd: S,
        bias: &[f32],
        init: Option<Init>,
    ) -> [[S::f32s; V]; R] {
        let (bias, _) = S::as_simd_f32s(bias);
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (row, sums) in sums.iter_mut().enumerate() {
            let (stored, _) = S::as_simd_f32s(&self.values[row * self.stride..][..self.panel]);
            for column in 0..V {
                sums[column] = match init {
                    Some(Init::Bias) => bias[column],
                    Some(Init::Residual) => simd.add_f32s(bias[column], stored[column]),
                    None => stored[column],
                };
            }
        }
        sums
    }

    /// Stores the sums of `R` tokens.
    #[inline(always)]
    pub(crate) fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        _: S,
        sums: [[S::f32s; V]; R],
    ) {
        for (row, sums) in sums.into_iter().enumerate() {
            let stored = &mut self.values[row * self.stride..][..self.panel];
            let (stored, _) = S::as_mut_simd_f32s(stored);
            for (stored, sum) in stored.iter_mut().zip(sums) {
                *stored = sum;
            }
        }
    }

    /// Applies the epilogue, if the sums are complete, and copies them where they belong.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(self, simd: S, epilogue: Option<Epilogue>) {
        if epilogue == Some(Epilogue::Gelu) {
            for row in self.values.chunks_mut(self.stride) {
                let (vectors, _) = S::as_mut_simd_f32s(&mut row[..self.panel]);
                for x in vectors {
                    *x = gelu(simd, *x);
                }
            }
        }
        if let Some((out, width, columns)) = self.destination {
            let rows = self.values.chunks_exact(self.panel);
            for (out, row) in out.chunks_exact_mut(width).zip(rows) {
                out[columns.clone()].copy_from_slice(&row[..columns.len()]);
            }
        }
    }
}
