//! From the vectors of a row's tokens to one.

use std::ops::Range;

use crate::blocked::Matrix;
use crate::parallel::Parallelism;

/// Writes the mean of some tokens' vectors to `out`, `[H]`. The vectors are added in the order of
/// the tokens.
///
/// # Panics
/// If there is no token, if `x` has not all of them, or if `out` is not of the size of a vector.
pub fn mean(x: Matrix<'_>, tokens: Range<usize>, out: &mut [f32], parallelism: Parallelism) {
    assert!(!tokens.is_empty(), "the mean of no vectors");
    assert_eq!(out.len(), x.columns.count, "the mean of vectors");
    parallelism.for_each_chunk(out, x.columns.width, |block, out| {
        let width = out.len();
        let rows = &x.block(block)[tokens.start * width..tokens.end * width];
        let (first, others) = rows.split_at(width);
        out.copy_from_slice(first);
        for row in others.chunks_exact(width) {
            for (sum, x) in out.iter_mut().zip(row) {
                *sum += x;
            }
        }
        for sum in out {
            *sum /= tokens.len() as f32;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocked::ColumnBlocks;

    #[test]
    fn the_mean_is_that_of_the_tokens_on_any_number_of_threads() {
        let columns = ColumnBlocks {
            count: 10,
            width: 4,
        };
        // Token 10 times, and its column.
        let x: Vec<f32> = (0..columns.blocks())
            .flat_map(|block| (0..6).map(move |token| (block, token)))
            .flat_map(|(block, token)| {
                let columns = columns.columns(block);
                columns.map(move |column| (10 * token + column) as f32)
            })
            .collect();
        let x = Matrix::new(&x, columns);
        for (tokens, of_tokens) in [(0..1, 0.0), (0..6, 25.0), (2..5, 30.0), (5..6, 50.0)] {
            let expected: Vec<f32> = (0..10).map(|column| of_tokens + column as f32).collect();
            let check = |parallelism: Parallelism| {
                let mut out = [f32::NAN; 10];
                mean(x, tokens.clone(), &mut out, parallelism);
                assert_eq!(out[..], expected, "{tokens:?}");
            };
            check(Parallelism::WithinThread);
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.unwrap().install(|| check(Parallelism::AcrossThreads));
            }
        }
    }
}
