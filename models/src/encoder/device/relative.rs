//! Disentangled attention: vectors of distances, which are keys and queries beside those of tokens.

use candle_core::{Result, Tensor};

use super::groups::STEP;
use super::placement::Placement;
use super::position_bias::distances;
use crate::architecture::{self, Architecture, RelativeEmbedding};
use crate::encoder::tables;
use crate::error::LoadError;

/// Which vector each distance has, the same in all layers.
#[derive(Debug)]
pub(super) struct DistanceVectors {
    /// Of each distance, the key's position less the query's, from `1 - reach` on: u32.
    vectors: Tensor,
    /// Most tokens of a padded row.
    reach: usize,
}

/// The vectors of all pairs of tokens in a group of rows, u32 `[R * heads, L, L]`.
pub(super) struct PairVectors {
    /// By query, then key.
    of_queries: Tensor,
    /// By key, then query.
    of_keys: Tensor,
}

/// The vectors of a layer, `[1, heads, head size, 2 span]`.
#[derive(Debug)]
pub(super) struct Relative {
    /// Keys that queries are multiplied with.
    keys: Option<Tensor>,
    /// Queries that keys are multiplied with, with the scale of queries.
    queries: Option<Tensor>,
}

impl DistanceVectors {
    pub(super) fn new(
        placement: &Placement<'_>,
        architecture: &Architecture,
        relative: &RelativeEmbedding,
    ) -> std::result::Result<Self, LoadError> {
        let reach = architecture.max_tokens.next_multiple_of(STEP);
        let vectors = (0..2 * reach - 1).map(|at| {
            let key_less_query = at as isize - (reach as isize - 1);
            relative.distances.vector(-key_less_query) as u32
        });
        let vectors = Tensor::from_iter(vectors, placement.device);
        Ok(Self {
            vectors: vectors.map_err(|cause| placement.device_error(cause))?,
            reach,
        })
    }

    /// Returns the vectors of `rows` rows of `tokens` tokens in `heads` heads.
    pub(super) fn of(&self, rows: usize, heads: usize, tokens: usize) -> Result<PairVectors> {
        let at = distances(tokens, self.reach, self.vectors.device())?;
        let pairs = self.vectors.index_select(&at, 0)?;
        let pairs = pairs.reshape((1, tokens, tokens))?;
        let all = |pairs: &Tensor| {
            pairs
                .broadcast_as((rows * heads, tokens, tokens))?
                .contiguous()
        };
        Ok(PairVectors {
            of_queries: all(&pairs)?,
            of_keys: all(&pairs.t()?)?,
        })
    }
}

impl Relative {
    pub(super) fn load(
        placement: &Placement<'_>,
        relative: &RelativeEmbedding,
        attention: &architecture::Attention,
        products: &architecture::RelativeProducts,
    ) -> std::result::Result<Self, LoadError> {
        let shape = [relative.table.len(), attention.heads, attention.head_size];
        let load = |linear: &Option<architecture::Linear>, scale: f32| {
            let Some(linear) = linear else {
                return Ok(None);
            };
            let mut vectors = tables::relative(placement.checkpoint, relative, linear)?;
            vectors.iter_mut().for_each(|x| *x *= scale);
            let by_head = |vectors: Tensor| vectors.permute((1, 2, 0))?.unsqueeze(0)?.contiguous();
            placement.place_with(vectors, &shape, by_head).map(Some)
        };
        Ok(Self {
            keys: load(&products.key, 1.0)?,
            queries: load(&products.query, attention.scale)?,
        })
    }

    /// Adds to the scores, `[R * heads, L, L]`, what comes of distances. Queries and keys are
    /// `[R * heads, L, head size]`, queries with their scale.
    pub(super) fn add(
        &self,
        scores: Tensor,
        queries: &Tensor,
        keys: &Tensor,
        pairs: &PairVectors,
    ) -> Result<Tensor> {
        let products = |x: &Tensor, vectors: &Tensor| {
            let (all, tokens, size) = x.dims3()?;
            let heads = vectors.dim(1)?;
            x.reshape((all / heads, heads, tokens, size))?
                .broadcast_matmul(vectors)?
                .reshape((all, tokens, ()))
        };
        let mut scores = scores;
        if let Some(vectors) = &self.keys {
            let products = products(queries, vectors)?;
            scores = (scores + products.gather(&pairs.of_queries, 2)?)?;
        }
        if let Some(vectors) = &self.queries {
            let products = products(keys, vectors)?;
            scores = (scores + products.gather(&pairs.of_keys, 2)?.t()?)?;
        }
        Ok(scores)
    }
}
