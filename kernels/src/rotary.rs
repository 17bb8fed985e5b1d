//! Rotary position embeddings: pairs of columns of a head are rotated by angles that grow with the
//! position.

use pulp::{Simd, WithSimd};

use crate::blocked::ColumnBlocks;
use crate::parallel::Parallelism;
use crate::simd::dispatch;

/// Fewest tokens of a block that one thread of several rotates.
const TOKENS_MIN: usize = 16;

/// Columns of a head that are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pairs {
    /// A column of the first half of the rotated columns and the same of the second half.
    Halves,
    /// Two columns next to each other.
    Neighbours,
}

/// The rotations of all positions.
#[derive(Clone, Debug)]
pub struct Rotary {
    pairs: Pairs,
    /// Number of pairs of a head.
    count: usize,
    /// `[positions, count]`
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Rotary {
    /// Returns the rotations of `positions` positions: by `position * frequencies[k]` radians for
    /// pair `k` of a head, with results multiplied by `scale` (1 but for some ways to reach farther
    /// than a model was trained for). The columns of a head after the pairs stay as they are.
    pub fn new(frequencies: &[f32], positions: usize, scale: f32, pairs: Pairs) -> Self {
        // The product in f32, as models compute it, and exact from there.
        let angles = || {
            (0..positions).flat_map(|at| frequencies.iter().map(move |f| f64::from(at as f32 * f)))
        };
        Self {
            pairs,
            count: frequencies.len(),
            cosines: angles().map(|angle| angle.cos() as f32 * scale).collect(),
            sines: angles().map(|angle| angle.sin() as f32 * scale).collect(),
        }
    }

    /// Returns the usual frequencies of `columns` rotated columns: `theta^(-2 k / columns)`.
    pub fn frequencies(theta: f64, columns: usize) -> Vec<f32> {
        let exponent = |k: usize| -2.0 * k as f64 / columns as f64;
        (0..columns / 2)
            .map(|k| theta.powf(exponent(k)) as f32)
            .collect()
    }

    /// Returns the cosines of all angles, multiplied by the scale: `[positions, pairs]`.
    pub fn cosines(&self) -> &[f32] {
        &self.cosines
    }

    /// Returns the sines of all angles, multiplied by the scale: `[positions, pairs]`.
    pub fn sines(&self) -> &[f32] {
        &self.sines
    }

    /// Rotates, in place, the heads of a matrix in blocks of whole heads. `rows` are the numbers of
    /// tokens of the rows; each begins at position 0.
    ///
    /// # Panics
    /// If the matrix has not as many tokens as all rows, if a row is longer than there are
    /// positions, or if the rotated columns are more than those of a head.
    pub fn run(
        &self,
        values: &mut [f32],
        columns: ColumnBlocks,
        head_size: usize,
        rows: &[usize],
        parallelism: Parallelism,
    ) {
        let tokens: usize = rows.iter().sum();
        assert_eq!(values.len(), tokens * columns.count, "a matrix to rotate");
        assert!(2 * self.count <= head_size, "heads of {head_size} columns");
        assert!(columns.width.is_multiple_of(head_size), "{columns:?}");
        let longest = rows.iter().copied().max().unwrap_or(0);
        assert!(
            longest * self.count <= self.cosines.len(),
            "a row of {longest} tokens"
        );
        columns.for_each_part(values, TOKENS_MIN, parallelism, |block, first, values| {
            dispatch(Rotate {
                rotary: self,
                values,
                first,
                width: columns.columns(block).len(),
                head_size,
                rows,
            });
        });
    }
}

/// Rotates the heads of some tokens in one block.
struct Rotate<'a> {
    rotary: &'a Rotary,
    values: &'a mut [f32],
    /// The first token.
    first: usize,
    /// Columns of the block.
    width: usize,
    head_size: usize,
    rows: &'a [usize],
}

impl WithSimd for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            rotary,
            values,
            first,
            width,
            head_size,
            rows,
        } = self;
        let count = rotary.count;
        let end = first + values.len() / width;
        let mut start = 0;
        for len in rows {
            for token in start.max(first)..(start + len).min(end) {
                let position = (token - start) * count;
                let cosines = &rotary.cosines[position..][..count];
                let sines = &rotary.sines[position..][..count];
                let heads = &mut values[(token - first) * width..][..width];
                for head in heads.chunks_exact_mut(head_size) {
                    rotate(rotary.pairs, head, cosines, sines);
                }
            }
            start += len;
        }
    }
}

/// Rotates the pairs of one head.
#[inline(always)]
fn rotate(pairs: Pairs, head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let angles = cosines.iter().zip(sines);
    match pairs {
        Pairs::Halves => {
            let (a, rest) = head.split_at_mut(cosines.len());
            for ((a, b), (cosine, sine)) in a.iter_mut().zip(rest).zip(angles) {
                (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
            }
        }
        Pairs::Neighbours => {
            let (both, _) = head.as_chunks_mut::<2>();
            for ([a, b], (cosine, sine)) in both.iter_mut().zip(angles) {
                (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: [Pairs; 2] = [Pairs::Halves, Pairs::Neighbours];

    /// Heads, columns of a head, rotated columns, heads of a block.
    const SHAPES: [(usize, usize, usize, usize); 5] = [
        (1, 2, 2, 1),
        (3, 32, 32, 3),
        (4, 64, 64, 2),
        (5, 20, 10, 2),
        (2, 7, 6, 1),
    ];

    fn numbers(count: usize) -> Vec<f32> {
        (0..count)
            .map(|at| (at * 37 % 97) as f32 / 40.0 - 0.7)
            .collect()
    }

    /// Rotates one row of `[tokens, columns]` in f64, straight from the definition.
    fn expected(
        x: &[f32],
        (heads, head_size, rotated, _): (usize, usize, usize, usize),
        pairs: Pairs,
        theta: f64,
    ) -> Vec<f64> {
        let mut result: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        for (token, row) in result.chunks_exact_mut(heads * head_size).enumerate() {
            for head in row.chunks_exact_mut(head_size) {
                for k in 0..rotated / 2 {
                    let (a, b) = match pairs {
                        Pairs::Halves => (k, k + rotated / 2),
                        Pairs::Neighbours => (2 * k, 2 * k + 1),
                    };
                    let angle = token as f64 * theta.powf(-2.0 * k as f64 / rotated as f64);
                    let (sine, cosine) = angle.sin_cos();
                    let (x, y) = (head[a], head[b]);
                    head[a] = x * cosine - y * sine;
                    head[b] = y * cosine + x * sine;
                }
            }
        }
        result
    }

    /// Rearranges `[tokens, columns]` in blocks.
    fn into_blocks(x: &[f32], columns: ColumnBlocks) -> Vec<f32> {
        let blocks = (0..columns.blocks()).map(|block| columns.columns(block));
        blocks
            .flat_map(|block| {
                x.chunks_exact(columns.count)
                    .map(move |row| &row[block.clone()])
            })
            .flatten()
            .copied()
            .collect()
    }

    #[test]
    fn rotations_of_all_shapes_are_close_to_the_definition() {
        const TOKENS: usize = 50;
        for shape in SHAPES {
            let (heads, head_size, rotated, of_block) = shape;
            let columns = ColumnBlocks {
                count: heads * head_size,
                width: of_block * head_size,
            };
            for pairs in PAIRS {
                let frequencies = Rotary::frequencies(10_000.0, rotated);
                let rotary = Rotary::new(&frequencies, TOKENS, 1.0, pairs);
                let x = numbers(TOKENS * columns.count);
                let mut found = into_blocks(&x, columns);
                let parallelism = Parallelism::WithinThread;
                rotary.run(&mut found, columns, head_size, &[TOKENS], parallelism);
                let expected: Vec<f32> = expected(&x, shape, pairs, 10_000.0)
                    .into_iter()
                    .map(|x| x as f32)
                    .collect();
                for (found, expected) in found.iter().zip(into_blocks(&expected, columns)) {
                    let near = (found - expected).abs() < 1e-5;
                    assert!(near, "{shape:?} {pairs:?}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_batch_on_any_number_of_threads() {
        const ROWS: [usize; 4] = [3, 40, 1, 25];
        let (head_size, columns) = (
            16,
            ColumnBlocks {
                count: 48,
                width: 32,
            },
        );
        for pairs in PAIRS {
            let rotary = Rotary::new(&Rotary::frequencies(500.0, 16), 40, 1.5, pairs);
            let rows = ROWS.map(|len| numbers(len * columns.count));
            let mut alone: Vec<f32> = Vec::new();
            for (len, row) in ROWS.into_iter().zip(&rows) {
                let mut row = into_blocks(row, columns);
                let parallelism = Parallelism::WithinThread;
                rotary.run(&mut row, columns, head_size, &[len], parallelism);
                // Back in rows.
                for token in 0..len {
                    for block in 0..columns.blocks() {
                        let width = columns.columns(block).len();
                        let values = &row[columns.elements(block, len)];
                        alone.extend(&values[token * width..][..width]);
                    }
                }
            }
            let expected = into_blocks(&alone, columns);
            for threads in [1, 2, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let mut together = into_blocks(&rows.concat(), columns);
                pool.unwrap().install(|| {
                    let parallelism = Parallelism::AcrossThreads;
                    rotary.run(&mut together, columns, head_size, &ROWS, parallelism);
                });
                assert_eq!(together, expected, "{pairs:?} on {threads} threads");
            }
        }
    }
}
