//! From the vectors of a row's tokens to what a head makes of them.

use std::ops::Range;

use motet_kernels::{Matrix, Parallelism};

use super::pool;
use crate::architecture::Readout;
use crate::encoder::LoadedHead;
use crate::values::Values;

/// Returns what a head makes of a row, whose tokens are some of `hidden`, of which the first
/// `unpooled` are not pooled. It is the same, bit for bit, in whatever blocks the columns are.
pub(in crate::encoder) fn of_row(
    head: &LoadedHead,
    hidden: Matrix<'_>,
    tokens: Range<usize>,
    unpooled: usize,
    parallelism: Parallelism,
) -> Values {
    let size = hidden.columns.count;
    let mut vectors = match head.readout() {
        Readout::EveryToken => vec![0.0; tokens.len() * size],
        Readout::Pooled(poolings) => vec![0.0; poolings.len() * size],
    };
    match head.readout() {
        Readout::EveryToken => {
            for (token, vector) in tokens.zip(vectors.chunks_exact_mut(size)) {
                pool::copy(hidden, token, vector);
            }
        }
        Readout::Pooled(poolings) => {
            for (pooling, vector) in poolings.iter().zip(vectors.chunks_exact_mut(size)) {
                pool::pool(
                    *pooling,
                    hidden,
                    tokens.clone(),
                    unpooled,
                    vector,
                    parallelism,
                );
            }
        }
    }
    head.apply(vectors)
}
