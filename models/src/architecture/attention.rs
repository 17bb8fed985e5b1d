//! Self-attention.

pub use motet_kernels::{Distances, Mask, Pairs};

use super::{Linear, Norm, TensorRef};

/// Self-attention in heads. Fewer heads of keys and values than of queries are each used by as many
/// heads of queries in succession (grouped queries).
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Number of heads of queries.
    pub heads: usize,
    /// Number of heads of keys and of values, of which `heads` is a multiple.
    pub kv_heads: usize,
    /// Length of the vectors of a head. `heads * head_size` may be more or less than the hidden
    /// size.
    pub head_size: usize,
    /// Queries of all heads, one head after the other.
    pub query: Linear,
    /// Keys of all heads.
    pub key: Linear,
    /// Values of all heads.
    pub value: Linear,
    /// From the heads' results to what is added to the residual.
    pub output: Linear,
    /// Norms of queries and keys, before they are rotated.
    pub head_norms: Option<HeadNorms>,
    /// Rotation of queries and keys by their position in the row.
    pub rotary: Option<Rotary>,
    /// Products with the vectors of distances, see [`RelativeEmbedding`].
    pub relative: Option<RelativeProducts>,
    /// Factor of the products of queries and keys.
    pub scale: f32,
    /// The keys that a query sees.
    pub mask: Mask,
}

/// Norms of queries and keys: of `head_size` values, the same for all heads of a layer, or of the
/// vectors of all heads together, as long as these.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadNorms {
    /// The norm of queries.
    pub query: Norm,
    /// The norm of keys.
    pub key: Norm,
}

/// Rotary position embedding: pairs of values of a head are rotated by angles that grow with the
/// position.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// The values that are rotated together. Values after the last pair stay as they are.
    pub pairs: Pairs,
    /// Radians per position, of each pair of a head.
    pub frequencies: Vec<f32>,
    /// Factor of the rotated values.
    pub scale: f32,
}

/// Vectors of distances for disentangled attention: scores of a query with a key gain products with
/// the vector of their distance, made a key and a query by each layer ([`RelativeProducts`]).
#[derive(Clone, Debug, PartialEq)]
pub struct RelativeEmbedding {
    /// `[2 span, hidden]`
    pub table: TensorRef,
    /// On each vector.
    pub norm: Option<Norm>,
    /// Which vector a distance has.
    pub distances: Distances,
}

/// How a layer makes keys and queries of the vectors of distances.
#[derive(Clone, Debug, PartialEq)]
pub struct RelativeProducts {
    /// To the keys that queries are multiplied with; `None` where they are not.
    pub key: Option<Linear>,
    /// To the queries that keys are multiplied with; `None` where they are not.
    pub query: Option<Linear>,
}

/// Values that are added to the scores of attention, by how far a key is from the query.
#[derive(Clone, Debug, PartialEq)]
pub enum PositionBias {
    /// Buckets of distances as T5 has them, which count keys before and after the query.
    Buckets {
        /// The value of each bucket for each head, `[buckets, heads]`.
        table: TensorRef,
        /// Distance from which on all keys are in the last bucket.
        max_distance: usize,
    },
    /// ALiBi: less the distance, on whichever side the key is, times the slope of the head.
    Alibi {
        /// One for each head.
        slopes: Vec<f32>,
    },
}

impl PositionBias {
    /// Returns ALiBi with the slopes of its authors (Press, Smith and Lewis, 2022): of `n` heads, a
    /// power of two, `2^(-8 i / n)` for `i` from 1 to `n`. Of other numbers, those of the next
    /// lower power, then every second one of the next higher, which lie between them.
    pub fn alibi(heads: usize) -> Self {
        let slope = |number: usize, of: usize| (-8.0 * number as f64 / of as f64).exp2() as f32;
        let lower = (heads + 1).next_power_of_two() / 2;
        let first = (1..=lower).map(|number| slope(number, lower));
        let between = (1..=2 * lower).step_by(2);
        let between = between.map(|number| slope(number, 2 * lower));
        Self::Alibi {
            slopes: first.chain(between).take(heads).collect(),
        }
    }

    /// Returns the table, if the bias has one.
    pub(super) fn table(&self) -> Option<&TensorRef> {
        match self {
            Self::Buckets { table, .. } => Some(table),
            Self::Alibi { .. } => None,
        }
    }
}

impl Attention {
    /// Returns attention to all tokens of the row, with as many heads of keys as of queries and the
    /// usual scale, one divided by the square root of the head's size. The products are those of
    /// queries, keys, values and output.
    pub fn new(heads: usize, head_size: usize, products: [Linear; 4]) -> Self {
        let [query, key, value, output] = products;
        Self {
            heads,
            kv_heads: heads,
            head_size,
            query,
            key,
            value,
            output,
            head_norms: None,
            rotary: None,
            relative: None,
            scale: (head_size as f32).sqrt().recip(),
            mask: Mask::All,
        }
    }

    pub(super) fn tensors(&self) -> Vec<&TensorRef> {
        let all = [&self.query, &self.key, &self.value, &self.output];
        let relative = self.relative.iter();
        let relative = relative.flat_map(|products| products.key.iter().chain(&products.query));
        let norms = self.head_norms.iter();
        let norms = norms.flat_map(|norms| [&norms.query, &norms.key]);
        all.into_iter()
            .chain(relative)
            .flat_map(Linear::tensors)
            .chain(norms.flat_map(Norm::tensors))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_authors_for_any_number_of_heads() {
        // Twice the logarithm of each to the base 1/2.
        for (heads, expected) in [
            (0, &[][..]),
            (1, &[16]),
            (2, &[8, 16]),
            (3, &[8, 16, 4]),
            (4, &[4, 8, 12, 16]),
            (6, &[4, 8, 12, 16, 2, 6]),
            (8, &[2, 4, 6, 8, 10, 12, 14, 16]),
            (12, &[2, 4, 6, 8, 10, 12, 14, 16, 1, 3, 5, 7]),
        ] {
            let PositionBias::Alibi { slopes } = PositionBias::alibi(heads) else {
                panic!("another bias");
            };
            let expected = expected
                .iter()
                .map(|twice| 0.5_f32.powf(*twice as f32 / 2.0));
            let expected: Vec<f32> = expected.collect();
            assert_eq!(slopes.len(), heads);
            for (found, expected) in slopes.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-6, "{heads}: {slopes:?}");
            }
        }
    }
}
