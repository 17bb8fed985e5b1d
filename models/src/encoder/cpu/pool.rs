//! From the vectors of a row's tokens to one.

use motet_kernels::{Matrix, Parallelism, pooling};

use crate::architecture::Pooling;
use crate::encoder::RowInput;

/// Writes to `out`, `[H]`, what a pooling makes of the tokens of a row, which are those of `hidden`
/// from `start` on. Tokens are taken in their order.
pub(super) fn pool(
    kind: Pooling,
    hidden: Matrix<'_>,
    start: usize,
    row: RowInput<'_>,
    out: &mut [f32],
    parallelism: Parallelism,
) {
    if let Some(chosen) = row.chosen(kind) {
        return copy(hidden, start + chosen, out);
    }
    let pooled = start + row.unpooled..start + row.len();
    match kind {
        Pooling::Cls
        | Pooling::LastToken
        | Pooling::LastTokenBut(_)
        | Pooling::FirstOf(_)
        | Pooling::GreatestId => {}
        Pooling::Mean => pooling::mean(hidden, pooled, out, parallelism),
        Pooling::MeanSqrtLen => {
            let root = (pooled.len() as f32).sqrt();
            pooling::mean(hidden, pooled, out, parallelism);
            out.iter_mut().for_each(|x| *x *= root);
        }
        Pooling::Max => fold(hidden, pooled, f32::NEG_INFINITY, out, |greatest, x, _| {
            // A value that is not a number stays.
            if x > *greatest || x.is_nan() {
                *greatest = x;
            }
        }),
        Pooling::WeightedMean => {
            // A token's place counts from the beginning of its row.
            let place = |token: usize| (token - start + 1) as f32;
            let sum: f32 = pooled.clone().map(place).sum();
            fold(hidden, pooled, 0.0, out, |sum, x, token| {
                *sum += x * place(token);
            });
            out.iter_mut().for_each(|x| *x /= sum);
        }
    }
}

/// Copies a token's vector from its blocks.
pub(super) fn copy(hidden: Matrix<'_>, token: usize, out: &mut [f32]) {
    for block in 0..hidden.columns.blocks() {
        let range = hidden.columns.columns(block);
        let values = &hidden.block(block)[token * range.len()..][..range.len()];
        out[range].copy_from_slice(values);
    }
}

/// Calls `add` with each value of `out`, which begins as `first`, the number of its column in each
/// token's vector, and the token.
fn fold(
    hidden: Matrix<'_>,
    tokens: std::ops::Range<usize>,
    first: f32,
    out: &mut [f32],
    add: impl Fn(&mut f32, f32, usize),
) {
    out.fill(first);
    for block in 0..hidden.columns.blocks() {
        let columns = hidden.columns.columns(block);
        let rows = hidden.block(block).chunks_exact(columns.len());
        let out = &mut out[columns];
        for (token, row) in rows.enumerate().skip(tokens.start).take(tokens.len()) {
            out.iter_mut()
                .zip(row)
                .for_each(|(to, x)| add(to, *x, token));
        }
    }
}

#[cfg(test)]
mod tests {
    use motet_kernels::ColumnBlocks;

    use super::*;

    #[test]
    fn every_pooling_is_that_of_its_definition() {
        // Blocks of one column, a token of another row before and after.
        let columns = ColumnBlocks { count: 2, width: 1 };
        let hidden = [9.0, 1.0, 3.0, 5.0, 8.0, 9.0, 0.0, 4.0, 2.0, 8.0];
        let hidden = Matrix::new(&hidden, columns);
        let check = |kind: Pooling, unpooled: usize, expected: [f32; 2]| {
            let mut out = [f32::NAN; 2];
            let within = Parallelism::WithinThread;
            let row = RowInput {
                unpooled,
                ..RowInput::new(&[7, 8, 7])
            };
            pool(kind, hidden, 1, row, &mut out, within);
            let far = out.iter().zip(expected).map(|(a, b)| (a - b).abs());
            assert!(
                far.fold(0.0, f32::max) < 1e-3,
                "{kind:?} {unpooled}: {out:?}"
            );
        };
        for (kind, expected) in [
            (Pooling::Cls, [1.0, 0.0]),
            (Pooling::Mean, [3.0, 2.0]),
            (Pooling::Max, [5.0, 4.0]),
            (Pooling::LastToken, [5.0, 2.0]),
            (Pooling::LastTokenBut(7), [3.0, 4.0]),
            (Pooling::LastTokenBut(8), [5.0, 2.0]),
            (Pooling::FirstOf(7), [1.0, 0.0]),
            (Pooling::FirstOf(8), [3.0, 4.0]),
            (Pooling::FirstOf(9), [1.0, 0.0]),
            (Pooling::GreatestId, [3.0, 4.0]),
            (Pooling::WeightedMean, [3.667, 2.333]),
            (Pooling::MeanSqrtLen, [5.196, 3.464]),
        ] {
            check(kind, 0, expected);
        }
        for (kind, expected) in [
            (Pooling::Cls, [3.0, 4.0]),
            (Pooling::Mean, [4.0, 3.0]),
            (Pooling::Max, [5.0, 4.0]),
            (Pooling::LastToken, [5.0, 2.0]),
            (Pooling::WeightedMean, [4.2, 2.8]),
            (Pooling::MeanSqrtLen, [5.657, 4.243]),
        ] {
            check(kind, 1, expected);
        }
        check(Pooling::Max, 2, [5.0, 2.0]);
    }
}
