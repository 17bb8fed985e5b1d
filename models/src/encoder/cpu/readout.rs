//! From the vectors of a row's tokens to what a head makes of them.

use motet_kernels::{Matrix, Parallelism};

use super::pool;
use crate::architecture::Readout;
use crate::encoder::{LoadedHead, RowInput};
use crate::values::Values;

/// Returns what a head makes of a row, whose tokens are those of `hidden` from `start` on. It is
/// the same, bit for bit, in whatever blocks the columns are.
pub(in crate::encoder) fn of_row(
    head: &LoadedHead,
    hidden: Matrix<'_>,
    start: usize,
    row: RowInput<'_>,
    parallelism: Parallelism,
) -> Values {
    let size = hidden.columns.count;
    let vectors = match head.readout() {
        Readout::EveryToken | Readout::AfterFirst => {
            let mut vectors = vec![0.0; head.tokens_read(row).count() * size];
            let tokens = head.tokens_read(row).zip(vectors.chunks_exact_mut(size));
            tokens.for_each(|(token, vector)| pool::copy(hidden, start + token, vector));
            vectors
        }
        Readout::Pooled(poolings) => {
            let mut vectors = vec![0.0; poolings.len() * size];
            for (pooling, vector) in poolings.iter().zip(vectors.chunks_exact_mut(size)) {
                pool::pool(*pooling, hidden, start, row, vector, parallelism);
            }
            vectors
        }
    };
    head.apply(vectors, row)
}
