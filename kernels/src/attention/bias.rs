//! Position biases: values that are added to the scores of attention and depend on how far a key is
//! from the query.

use std::ops::Range;

/// Values that are added to the scores of attention.
#[derive(Clone, Copy, Debug)]
pub enum Bias<'a> {
    /// By head and distance.
    Relative(&'a RelativeBias),
    /// For each row `[heads, tokens, tokens]` of queries and keys, one row after another.
    Scores(&'a [f32]),
}

impl<'a> Bias<'a> {
    /// Returns the bias of a row, whose scores begin at `start`.
    #[inline(always)]
    pub(super) fn of_row(self, start: usize) -> Self {
        match self {
            Self::Relative(_) => self,
            Self::Scores(scores) => Self::Scores(&scores[start..]),
        }
    }

    /// Returns the biases of some keys for a query of a row of `tokens` tokens.
    #[inline(always)]
    pub(super) fn of(
        self,
        head: usize,
        query: usize,
        keys: Range<usize>,
        tokens: usize,
    ) -> &'a [f32] {
        match self {
            Self::Relative(bias) => bias.of(head, query, keys),
            Self::Scores(scores) => {
                let start = (head * tokens + query) * tokens + keys.start;
                &scores[start..][..keys.len()]
            }
        }
    }

    /// Returns whether there is a bias for every pair of tokens of each row in each of `heads`
    /// heads.
    pub(super) fn covers(self, heads: usize, rows: &[usize]) -> bool {
        match self {
            Self::Relative(bias) => bias.covers(heads, rows.iter().copied().max().unwrap_or(0)),
            Self::Scores(scores) => {
                scores.len() == heads * rows.iter().map(|tokens| tokens * tokens).sum::<usize>()
            }
        }
    }
}

/// A bias for each head and distance.
#[derive(Clone, Debug)]
pub struct RelativeBias {
    /// Most keys of a row.
    reach: usize,
    /// `[heads, 2 reach - 1]`: those of the distances `key - query` from `1 - reach` on.
    values: Vec<f32>,
}

impl RelativeBias {
    /// Returns the bias with `value(head, distance)` for rows of at most `reach` tokens, where
    /// `distance` is the key's position less the query's.
    ///
    /// # Panics
    /// If `reach` is 0.
    pub fn new(heads: usize, reach: usize, value: impl Fn(usize, isize) -> f32) -> Self {
        assert!(reach > 0, "rows have tokens");
        let distances = 2 * reach - 1;
        let values = (0..heads * distances).map(|at| {
            let distance = (at % distances) as isize - (reach as isize - 1);
            value(at / distances, distance)
        });
        Self {
            reach,
            values: values.collect(),
        }
    }

    /// Returns the bias of ALiBi, `-slope |distance|`, with a slope for each head.
    pub fn alibi(slopes: &[f32], reach: usize) -> Self {
        Self::new(slopes.len(), reach, |head, distance| {
            -slopes[head] * distance.unsigned_abs() as f32
        })
    }

    /// Returns the bias of a table `[buckets, heads]`, where `buckets` says which bucket a distance
    /// is in.
    ///
    /// # Panics
    /// If the table is not of this size.
    pub fn bucketed(table: &[f32], heads: usize, buckets: Buckets, reach: usize) -> Self {
        assert_eq!(table.len(), buckets.count * heads, "table of buckets");
        Self::new(heads, reach, |head, distance| {
            table[buckets.of(distance) * heads + head]
        })
    }

    /// Returns the biases of some keys for a query.
    #[inline(always)]
    pub(super) fn of(&self, head: usize, query: usize, keys: Range<usize>) -> &[f32] {
        let distances = 2 * self.reach - 1;
        let start = head * distances + self.reach - 1 + keys.start - query;
        &self.values[start..][..keys.len()]
    }

    /// Returns whether there is a bias for every pair of `tokens` tokens in each of `heads` heads.
    pub(super) fn covers(&self, heads: usize, tokens: usize) -> bool {
        tokens <= self.reach && self.values.len() == heads * (2 * self.reach - 1)
    }
}

/// Buckets of distances, as T5 has them: near distances have buckets of their own, far ones share
/// buckets that are equal in the logarithm of the distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Number of buckets.
    pub count: usize,
    /// Distance from which on all are in the last bucket.
    pub max_distance: usize,
    /// `true` if keys after the query have half of the buckets to themselves, as in an encoder;
    /// else all keys after it are in the first.
    pub bidirectional: bool,
}

impl Buckets {
    /// Returns the bucket of a distance, the key's position less the query's.
    pub fn of(self, distance: isize) -> usize {
        let (first, count, distance) = if self.bidirectional {
            let half = self.count / 2;
            let first = if distance > 0 { half } else { 0 };
            (first, half, distance.unsigned_abs())
        } else {
            (0, self.count, (-distance).max(0).unsigned_abs())
        };
        // As many buckets for single distances as for shared ones.
        let near = count / 2;
        if distance < near {
            return first + distance;
        }
        let near_f32 = near as f32;
        // In the arithmetic of the models' own code: a ratio of logarithms in f32.
        let scale = (self.max_distance as f64 / near as f64).ln() as f32;
        let shared = (distance as f32 / near_f32).ln() / scale * (count - near) as f32;
        first + (near + shared as usize).min(count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alibi_falls_with_the_distance() {
        let bias = RelativeBias::alibi(&[0.5, 0.25], 4);
        assert_eq!(bias.of(0, 1, 0..4), [-0.5, 0.0, -0.5, -1.0]);
        assert_eq!(bias.of(1, 3, 1..3), [-0.5, -0.25]);
        assert!(bias.covers(2, 4) && !bias.covers(2, 5) && !bias.covers(3, 4));
    }

    #[test]
    fn buckets_are_single_when_near_and_shared_when_far() {
        let encoder = Buckets {
            count: 32,
            max_distance: 128,
            bidirectional: true,
        };
        // The first distances of the buckets 8 to 15: 8 * 16^(k / 8).
        for (distance, bucket) in [
            (0, 0),
            (7, 7),
            (8, 8),
            (11, 8),
            (12, 9),
            (15, 9),
            (16, 10),
            (22, 10),
            (23, 11),
            (31, 11),
            (32, 12),
            (45, 12),
            (46, 13),
            (63, 13),
            (64, 14),
            (90, 14),
            (91, 15),
            (128, 15),
            (5000, 15),
        ] {
            assert_eq!(encoder.of(-distance), bucket, "{distance} before");
            let after = if distance > 0 { 16 + bucket } else { 0 };
            assert_eq!(encoder.of(distance), after, "{distance} after");
        }
        let decoder = Buckets {
            bidirectional: false,
            ..encoder
        };
        for (distance, bucket) in [(5, 0), (0, 0), (-15, 15), (-16, 16), (-64, 26), (-200, 31)] {
            assert_eq!(decoder.of(distance), bucket, "{distance}");
        }
    }

    #[test]
    fn a_table_gives_each_head_the_bias_of_the_bucket() {
        let buckets = Buckets {
            count: 4,
            max_distance: 8,
            bidirectional: true,
        };
        let table: Vec<f32> = (0..8).map(|at| at as f32).collect();
        let bias = RelativeBias::bucketed(&table, 2, buckets, 3);
        let expected = |head: usize, distance: isize| table[buckets.of(distance) * 2 + head];
        for head in 0..2 {
            for query in 0..3 {
                let row: Vec<f32> = (0..3)
                    .map(|key| expected(head, key as isize - query as isize))
                    .collect();
                assert_eq!(bias.of(head, query, 0..3), row);
            }
        }
    }
}
