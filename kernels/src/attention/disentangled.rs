//! Disentangled attention: scores between a token and the distance to another, beside those between
//! tokens.
//!
//! Each distance has a vector of keys and one of queries, which are the same for all texts. A
//! query's score with a key gains the products of the query with the key of their distance, and of
//! the key with the query of their distance.

use crate::blocked::Matrix;
use crate::dot_products::PackedVectors;
use crate::parallel::Parallelism;

/// Distances that share a vector: near ones have their own, far ones share those that are equal in
/// the logarithm of the distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distances {
    /// Number of vectors on each side; there are twice as many in all.
    pub span: usize,
    /// Distance from which on all share the last vector of their side; `None` where none share one
    /// before the last.
    pub max_distance: Option<usize>,
}

impl Distances {
    /// Returns the number of the vector of a distance, the query's position less the key's.
    pub fn vector(self, distance: isize) -> usize {
        let half = (self.span / 2) as isize;
        let bucket = match self.max_distance {
            Some(most) if distance.abs() > half => {
                // In the arithmetic of the models' own code: ratios of logarithms in f32.
                let half_f32 = half as f32;
                let scale = (((most as f64 - 1.0) / half as f64) as f32).ln();
                let far = (distance.unsigned_abs() as f32 / half_f32).ln() / scale;
                let bucket = (far * (half_f32 - 1.0)).ceil() as isize + half;
                bucket * distance.signum()
            }
            _ => distance,
        };
        let span = self.span as isize;
        (bucket + span).clamp(0, 2 * span - 1) as usize
    }
}

/// The vectors of the distances in a layer.
#[derive(Debug)]
pub struct Disentangled {
    heads: usize,
    head_size: usize,
    /// Of each head, the keys of the vectors that queries are multiplied with.
    keys: Option<Vec<PackedVectors>>,
    /// Of each head, the queries of the vectors that keys are multiplied with.
    queries: Option<Vec<PackedVectors>>,
    /// Number of vectors.
    count: usize,
    /// Most tokens of a row.
    reach: usize,
    /// The vector of each distance, the key's position less the query's, from `1 - reach` on.
    vectors: Vec<u32>,
}

impl Disentangled {
    /// Packs the vectors of all distances, `[2 span, heads * head_size]`, for rows of at most
    /// `reach` tokens.
    ///
    /// # Panics
    /// If vectors are not of this size, or `reach` is 0.
    pub fn new(
        heads: usize,
        head_size: usize,
        keys: Option<&[f32]>,
        queries: Option<&[f32]>,
        distances: Distances,
        reach: usize,
    ) -> Self {
        assert!(reach > 0, "rows have tokens");
        let count = 2 * distances.span;
        let size = heads * head_size;
        let pack = |vectors: &[f32]| -> Vec<PackedVectors> {
            assert_eq!(vectors.len(), count * size, "vectors of distances");
            let of_head = |head: usize| {
                let rows = vectors.chunks_exact(size);
                let columns = head * head_size..(head + 1) * head_size;
                let values: Vec<f32> = rows
                    .flat_map(|row| &row[columns.clone()])
                    .copied()
                    .collect();
                PackedVectors::pack(&values, head_size)
            };
            (0..heads).map(of_head).collect()
        };
        let vector = |at: usize| {
            let key_less_query = at as isize - (reach as isize - 1);
            distances.vector(-key_less_query) as u32
        };
        Self {
            heads,
            head_size,
            keys: keys.map(pack),
            queries: queries.map(pack),
            count,
            reach,
            vectors: (0..2 * reach - 1).map(vector).collect(),
        }
    }

    /// Writes what is added to the scores, multiplied by `scale`, to `out`: for each row of `rows`
    /// tokens `[heads, tokens, tokens]` of queries and keys, one row after another.
    ///
    /// # Panics
    /// If a matrix has not as many tokens as all rows, or `out` is not of the size of the result.
    pub fn scores(
        &self,
        queries: Matrix<'_>,
        keys: Matrix<'_>,
        rows: &[usize],
        scale: f32,
        out: &mut [f32],
        parallelism: Parallelism,
    ) {
        let (mut rest, mut start) = (out, 0);
        for tokens in rows.iter().copied() {
            assert!(tokens <= self.reach, "a row of {tokens} tokens");
            let of_row;
            (of_row, rest) = rest.split_at_mut(self.heads * tokens * tokens);
            parallelism.for_each_chunk(of_row, tokens * tokens, |head, scores| {
                scores.fill(0.0);
                if let Some(of_distances) = &self.keys {
                    let products = self.products(&of_distances[head], queries, start, tokens, head);
                    self.add(scores, tokens, |query, _, vector| {
                        products[query * self.count + vector]
                    });
                }
                if let Some(of_distances) = &self.queries {
                    let products = self.products(&of_distances[head], keys, start, tokens, head);
                    self.add(scores, tokens, |_, key, vector| {
                        products[key * self.count + vector]
                    });
                }
                for score in scores {
                    *score *= scale;
                }
            });
            start += tokens;
        }
        assert!(rest.is_empty(), "scores of all rows");
    }

    /// Returns the products of some tokens' vectors of a head with those of the distances,
    /// `[tokens, count]`.
    fn products(
        &self,
        of_distances: &PackedVectors,
        x: Matrix<'_>,
        start: usize,
        tokens: usize,
        head: usize,
    ) -> Vec<f32> {
        let block = head * self.head_size / x.columns.width;
        let columns = x.columns.columns(block);
        let first = head * self.head_size - columns.start;
        let rows = x.block(block).chunks_exact(columns.len());
        let of_head = rows.skip(start).take(tokens);
        let of_head: Vec<f32> = of_head
            .flat_map(|row| &row[first..first + self.head_size])
            .copied()
            .collect();
        of_distances.products(&of_head)
    }

    /// Adds to each score the product that `product` finds for a query, a key and the vector of
    /// their distance.
    fn add(&self, scores: &mut [f32], tokens: usize, product: impl Fn(usize, usize, usize) -> f32) {
        for (query, scores) in scores.chunks_exact_mut(tokens).enumerate() {
            let vectors = &self.vectors[self.reach - 1 - query..][..tokens];
            for (key, (score, vector)) in scores.iter_mut().zip(vectors).enumerate() {
                *score += product(query, key, *vector as usize);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocked::ColumnBlocks;

    #[test]
    fn near_distances_have_vectors_of_their_own_and_far_ones_share() {
        let all = Distances {
            span: 4,
            max_distance: None,
        };
        for (distance, vector) in [
            (0, 4),
            (1, 5),
            (3, 7),
            (4, 7),
            (100, 7),
            (-1, 3),
            (-4, 0),
            (-9, 0),
        ] {
            assert_eq!(all.vector(distance), vector, "{distance}");
        }
        // ceil(ln(d / 4) / ln(31 / 4) * 3) + 4
        let shared = Distances {
            span: 8,
            max_distance: Some(32),
        };
        for (distance, bucket) in [
            (0, 0),
            (3, 3),
            (4, 4),
            (5, 5),
            (7, 5),
            (8, 6),
            (15, 6),
            (16, 7),
            (31, 7),
            (32, 8),
            (90, 9),
        ] {
            assert_eq!(shared.vector(distance), (8 + bucket).min(15), "{distance}");
            assert_eq!(shared.vector(-distance), 8 - bucket.min(8), "{distance}");
        }
    }

    #[test]
    fn scores_are_those_of_the_definition_in_any_batch_on_any_number_of_threads() {
        const ROWS: [usize; 3] = [3, 20, 1];
        let (heads, size, scale) = (3, 4, 0.3);
        let distances = Distances {
            span: 4,
            max_distance: Some(12),
        };
        let columns = ColumnBlocks {
            count: heads * size,
            width: 2 * size,
        };
        let numbers = |count: usize, salt: usize| -> Vec<f32> {
            let value = |at: usize| ((at * 37 + salt * 101) % 97) as f32 / 40.0 - 1.2;
            (0..count).map(value).collect()
        };
        let tokens = ROWS.iter().sum::<usize>();
        let (of_keys, of_queries) = (numbers(8 * 12, 1), numbers(8 * 12, 2));
        let (q, k) = (numbers(tokens * 12, 3), numbers(tokens * 12, 4));
        let (q, k) = (Matrix::new(&q, columns), Matrix::new(&k, columns));
        let value = |x: Matrix<'_>, token: usize, column: usize| {
            let block = column / columns.width;
            let range = columns.columns(block);
            x.block(block)[token * range.len() + column - range.start]
        };
        for (with_keys, with_queries) in [(true, true), (true, false), (false, true)] {
            let relative = Disentangled::new(
                heads,
                size,
                with_keys.then_some(&of_keys[..]),
                with_queries.then_some(&of_queries[..]),
                distances,
                20,
            );
            let mut expected = Vec::new();
            let mut start = 0;
            for len in ROWS {
                for (head, query, key) in (0..heads)
                    .flat_map(|h| (0..len).flat_map(move |q| (0..len).map(move |k| (h, q, k))))
                {
                    let vector = distances.vector(query as isize - key as isize);
                    let dot = |x: Matrix<'_>, token: usize, vectors: &[f32]| -> f32 {
                        let columns = head * size..(head + 1) * size;
                        let products =
                            columns.map(|c| value(x, start + token, c) * vectors[vector * 12 + c]);
                        products.sum()
                    };
                    let from_query = if with_keys {
                        dot(q, query, &of_keys)
                    } else {
                        0.0
                    };
                    let from_key = if with_queries {
                        dot(k, key, &of_queries)
                    } else {
                        0.0
                    };
                    expected.push(scale * (from_query + from_key));
                }
                start += len;
            }
            let run = |parallelism: Parallelism| {
                let mut out = vec![f32::NAN; expected.len()];
                relative.scores(q, k, &ROWS, scale, &mut out, parallelism);
                out
            };
            let alone = run(Parallelism::WithinThread);
            for (found, expected) in alone.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let found = pool.unwrap().install(|| run(Parallelism::AcrossThreads));
                assert_eq!(found, alone);
            }
        }
    }
}
