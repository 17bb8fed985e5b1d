//! Self-attention of a layer: products for all tokens at once, attention itself for a group of rows
//! at once, or for all of them.

use candle_core::{Result, Tensor};
use motet_kernels::Mask;

use super::linear::Linear;
use super::norm::Norm;
use super::pack::{Attended, Pack};
use super::padded_attention::PaddedAttention;
use super::placement::Placement;
use super::relative::Relative;
use crate::architecture::{self, Architecture};
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Attention {
    /// Queries, keys and values in one product. Queries have their scale after it, or after their
    /// norm.
    query_key_value: Linear,
    /// Norms of queries and of keys.
    head_norms: Option<[Norm; 2]>,
    /// Number of the model's rotary embedding.
    rotary: Option<usize>,
    /// Keys and queries of distances.
    relative: Option<Relative>,
    mask: Mask,
    /// Its number among the model's.
    mask_number: Option<usize>,
    output: Linear,
    heads: usize,
    kv_heads: usize,
    head_size: usize,
}

impl Attention {
    pub(super) fn load(
        placement: &Placement<'_>,
        architecture: &Architecture,
        attention: &architecture::Attention,
    ) -> std::result::Result<Self, LoadError> {
        let parts = [&attention.query, &attention.key, &attention.value];
        let (mut weight, mut bias) = placement.stack(&parts)?;
        let scale = attention.scale;
        let head_norms = attention.head_norms.as_ref().map(|norms| {
            let query = Norm::load_scaled(placement, &norms.query, scale)?;
            Ok([query, Norm::load(placement, &norms.key)?])
        });
        let queries = &attention.query;
        if head_norms.is_none() {
            let query_weight = weight[..queries.outputs() * queries.inputs()].iter_mut();
            let query_bias = bias.iter_mut().flatten().take(queries.outputs());
            query_weight
                .chain(query_bias)
                .for_each(|value| *value *= scale);
        }
        let relative = architecture
            .relative
            .as_ref()
            .zip(attention.relative.as_ref());
        let relative = relative
            .map(|(relative, products)| Relative::load(placement, relative, attention, products));
        let rotaries = architecture.rotaries();
        let rotary = attention.rotary.as_ref();
        let masks = architecture.masks();
        Ok(Self {
            query_key_value: Linear::new(placement, queries.inputs(), weight, bias)?,
            head_norms: head_norms.transpose()?,
            relative: relative.transpose()?,
            rotary: rotaries.iter().position(|known| Some(*known) == rotary),
            mask: attention.mask,
            mask_number: masks.iter().position(|known| *known == attention.mask),
            output: Linear::load(placement, &attention.output)?,
            heads: attention.heads,
            kv_heads: attention.kv_heads,
            head_size: attention.head_size,
        })
    }

    /// `[T, H]` to `[T, H]`
    pub(super) fn forward(&self, x: &Tensor, pack: &Pack) -> Result<Tensor> {
        // Every token's vectors of each head, `[T, heads of queries, keys and values, head size]`.
        let vectors = self.query_key_value.forward(x)?;
        let all = self.heads + 2 * self.kv_heads;
        let vectors = self.place(vectors.reshape(((), all, self.head_size))?, pack)?;
        let context = match &pack.attended {
            Attended::AtOnce(rows) => {
                let part = |first, heads| vectors.narrow(1, first, heads);
                let queries = part(0, self.heads)?;
                let keys = part(self.heads, self.kv_heads)?;
                let values = part(self.heads + self.kv_heads, self.kv_heads)?;
                rows.attend([queries, keys, values], self.mask)?
            }
            Attended::InGroups { groups, back } => self.in_groups(&vectors, groups, back)?,
        };
        let context = context.reshape((x.dim(0)?, ()))?;
        self.output.forward(&context)
    }

    /// Applies norms and rotations to the heads of queries and keys.
    fn place(&self, vectors: Tensor, pack: &Pack) -> Result<Tensor> {
        let rotations = self.rotary.map(|number| &pack.rotations[number]);
        if self.head_norms.is_none() && rotations.is_none() {
            return Ok(vectors);
        }
        let part = |first, heads| vectors.narrow(1, first, heads)?.contiguous();
        let queries = part(0, self.heads)?;
        let keys = part(self.heads, self.kv_heads)?;
        let values = part(self.heads + self.kv_heads, self.kv_heads)?;
        let (queries, keys) = match &self.head_norms {
            Some([of_queries, of_keys]) => (normed(of_queries, &queries)?, normed(of_keys, &keys)?),
            None => (queries, keys),
        };
        let (queries, keys) = match rotations {
            Some(rotations) => (rotations.rotate(&queries)?, rotations.rotate(&keys)?),
            None => (queries, keys),
        };
        Tensor::cat(&[queries, keys, values], 1)
    }

    /// softmax(Q K^T) V for each token and head, `[T * heads, head size]`: `back` has the place of
    /// each among those of the groups.
    fn in_groups(
        &self,
        vectors: &Tensor,
        groups: &[PaddedAttention],
        back: &Tensor,
    ) -> Result<Tensor> {
        let vectors = vectors.reshape(((), self.head_size))?;
        let groups = groups.iter().map(|group| self.attend(&vectors, group));
        match &groups.collect::<Result<Vec<_>>>()?[..] {
            [one] => one.index_select(back, 0),
            several => Tensor::cat(several, 0)?.index_select(back, 0),
        }
    }

    /// softmax(Q K^T) V for each head of a group's R rows of L tokens: `[R * heads * L, head
    /// size]`.
    fn attend(&self, vectors: &Tensor, group: &PaddedAttention) -> Result<Tensor> {
        let heads = group.rows * self.heads;
        let parts = vectors.index_select(&group.parts, 0)?.reshape((
            3,
            heads,
            group.tokens,
            self.head_size,
        ))?;
        let (queries, keys, values) = (parts.get(0)?, parts.get(1)?, parts.get(2)?);
        let mut scores = queries.matmul(&keys.t()?)?;
        if let Some((relative, pairs)) = self.relative.as_ref().zip(group.distances.as_ref()) {
            scores = relative.add(scores, &queries, &keys, pairs)?;
        }
        let added = self.mask_number;
        let added = added.and_then(|number| group.added[number].as_ref());
        let scores = match added {
            Some(added) => (scores + added)?,
            None => scores,
        };
        candle_nn::ops::softmax_last_dim(&scores)?
            .matmul(&values)?
            .reshape(((), self.head_size))
    }
}

/// Normalizes vectors `[T, heads, head size]`, of each head or of all together by the size of the
/// norm.
fn normed(norm: &Norm, vectors: &Tensor) -> Result<Tensor> {
    let (tokens, heads, size) = vectors.dims3()?;
    if norm.size() == size {
        return norm.forward(vectors);
    }
    let all = vectors.reshape((tokens, heads * size))?;
    norm.forward(&all)?.reshape((tokens, heads, size))
}
