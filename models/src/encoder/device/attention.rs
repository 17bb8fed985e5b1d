//! Self-attention of a layer: products for all tokens at once, attention itself for a group of rows
//! at once.

use candle_core::{Result, Tensor};

use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::pack::Pack;
use super::padded::Padded;
use super::placement::Placement;
use crate::architecture;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Attention {
    /// Queries, keys and values in one product: `[H]` to `[3 H]`. Queries leave it with their
    /// scale.
    query_key_value: Linear,
    output: Linear,
    norm: LayerNorm,
    heads: usize,
    head_size: usize,
}

impl Attention {
    pub(super) fn load(
        placement: &Placement<'_>,
        attention: &architecture::Attention,
        norm: &architecture::Norm,
    ) -> std::result::Result<Self, LoadError> {
        let parts = [&attention.query, &attention.key, &attention.value];
        let (mut weight, mut bias) = placement.stack(&parts)?;
        let scale = (attention.head_size as f32).sqrt().recip();
        let queries = &attention.query;
        let query_weight = weight[..queries.outputs() * queries.inputs()].iter_mut();
        let query_bias = bias
            .iter_mut()
            .flat_map(|bias| &mut bias[..queries.outputs()]);
        query_weight
            .chain(query_bias)
            .for_each(|value| *value *= scale);
        Ok(Self {
            query_key_value: Linear::new(placement, queries.inputs(), weight, bias)?,
            output: Linear::load(placement, &attention.output)?,
            norm: LayerNorm::load(placement, norm)?,
            heads: attention.heads,
            head_size: attention.head_size,
        })
    }

    /// `[T, H]` to `[T, H]`
    pub(super) fn forward(&self, x: &Tensor, pack: &Pack) -> Result<Tensor> {
        // Every token's vectors of each head, `[T * 3 * heads, head size]`.
        let vectors = self.query_key_value.forward(x)?;
        let vectors = vectors.reshape(((), self.head_size))?;
        let groups = pack
            .groups
            .iter()
            .map(|group| self.attend(&vectors, group))
            .collect::<Result<Vec<_>>>()?;
        let context = match &groups[..] {
            [one] => one.index_select(&pack.back, 0)?,
            several => Tensor::cat(several, 0)?.index_select(&pack.back, 0)?,
        };
        let context = context.reshape((x.dim(0)?, ()))?;
        self.norm.forward(&(self.output.forward(&context)? + x)?)
    }

    /// softmax(Q K^T) V for each head of a group's R rows of L tokens: `[R * heads * L, head
    /// size]`.
    fn attend(&self, vectors: &Tensor, group: &Padded) -> Result<Tensor> {
        let heads = group.rows.len() * self.heads;
        let parts = vectors.index_select(&group.parts, 0)?.reshape((
            3,
            heads,
            group.tokens,
            self.head_size,
        ))?;
        let (queries, keys, values) = (parts.get(0)?, parts.get(1)?, parts.get(2)?);
        let scores = queries.matmul(&keys.t()?)?;
        let scores = match &group.added {
            Some(added) => (scores + added)?,
            None => scores,
        };
        candle_nn::ops::softmax_last_dim(&scores)?
            .matmul(&values)?
            .reshape(((), self.head_size))
    }
}
