//! Where the sums of a tile start, and what happens to them before they are stored.
//!
//! A tile's sums fill the registers, and stay there only if nothing but reads and writes of whole
//! vectors is asked of the compiler: sums of fewer columns are therefore computed in scratch memory
//! and copied.

use std::ops::Range;
use std::slice::{Chunks, ChunksMut};

use pulp::{Simd, WithSimd};

use crate::activation::{Activate, Activation, gelu};
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Epilogue<'a> {
    /// None.
    Store,
    /// An activation.
    Activate(Activation),
    /// An activation, then the product with the values of another matrix, of the shape and in the
    /// blocks of the result: a gated linear unit.
    Gate(Activation, &'a [f32]),
}

impl<'a> Epilogue<'a> {
    /// Returns the epilogue for some of the values.
    #[inline(always)]
    pub(crate) fn part(self, elements: Range<usize>) -> Self {
        match self {
            Self::Gate(activation, factors) => Self::Gate(activation, &factors[elements]),
            other => other,
        }
    }
}

/// Some columns of the result for the tokens of a tile, as whole vectors.
pub(crate) struct OutputTile<'a> {
    /// From the first column of the first token.
    values: &'a mut [f32],
    /// Distance from a token to the next.
    stride: usize,
    /// Columns of the vectors.
    panel: usize,
    /// First column.
    first: usize,
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
                first: columns.start,
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
            first: columns.start,
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

    /// Applies the epilogue, if the sums are complete, and copies them where they belong. The
    /// factors of a gate are those of all columns of the tile's tokens.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(self, simd: S, epilogue: Option<Epilogue<'_>>) {
        let (activation, factors) = match epilogue {
            None | Some(Epilogue::Store) => (None, None),
            Some(Epilogue::Activate(activation)) => (Some(activation), None),
            Some(Epilogue::Gate(activation, factors)) => (Some(activation), Some(factors)),
        };
        match activation {
            None => {}
            Some(Activation::Gelu) => {
                for row in self.values.chunks_mut(self.stride) {
                    let (vectors, _) = S::as_mut_simd_f32s(&mut row[..self.panel]);
                    for x in vectors {
                        *x = gelu(simd, *x);
                    }
                }
            }
            Some(activation) => simd.vectorize(Activate {
                activation,
                values: &mut *self.values,
                stride: self.stride,
                width: self.panel,
            }),
        }
        match (self.destination, factors) {
            (None, None) => {}
            (None, Some(factors)) => simd.vectorize(Multiply {
                rows: self.values.chunks_mut(self.stride),
                factors: factors[self.first..].chunks(self.stride),
                width: self.panel,
            }),
            (Some((out, width, columns)), factors) => {
                let rows = self.values.chunks_exact(self.panel);
                for (out, row) in out.chunks_exact_mut(width).zip(rows) {
                    out[columns.clone()].copy_from_slice(&row[..columns.len()]);
                }
                if let Some(factors) = factors {
                    simd.vectorize(Multiply {
                        rows: out[columns.start..].chunks_mut(width),
                        factors: factors[columns.start..].chunks(width),
                        width: columns.len(),
                    });
                }
            }
        }
    }
}

/// Multiplies rows of values with rows of factors.
struct Multiply<'a> {
    rows: ChunksMut<'a, f32>,
    factors: Chunks<'a, f32>,
    /// Values of a row.
    width: usize,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, factors) in self.rows.zip(self.factors) {
            for (x, factor) in row[..self.width].iter_mut().zip(&factors[..self.width]) {
                *x *= factor;
            }
        }
    }
}
