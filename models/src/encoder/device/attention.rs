//! Self-attention of a layer: products for all tokens at once, attention itself for a group of rows
//! at once.

use candle_core::{Result, Tensor};

use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::pack::Pack;
use super::padded::Padded;
use crate::config::BertConfig;
use crate::encoder::weights::Weights;
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
        weights: &Weights<'_>,
        config: &BertConfig,
        layer: &str,
    ) -> std::result::Result<Self, LoadError> {
        let hidden = config.hidden_size;
        let (mut weight, mut bias) = weights.query_key_value(config, layer)?;
        let scale = (config.head_size() as f32).sqrt().recip();
        let queries = weight[..hidden * hidden].iter_mut();
        queries
            .chain(&mut bias[..hidden])
            .for_each(|value| *value *= scale);
        let norm = format!("{layer}.attention.output.LayerNorm");
        let output = format!("{layer}.attention.output.dense");
        Ok(Self {
            query_key_value: Linear::new(weights, weight, bias)?,
            output: Linear::load(weights, &output, hidden, hidden)?,
            norm: LayerNorm::load(weights, config, &norm)?,
            heads: config.num_attention_heads,
            head_size: config.head_size(),
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
        let scores = match &group.mask {
            Some(mask) => (scores + mask)?,
            None => scores,
        };
        candle_nn::ops::softmax_last_dim(&scores)?
            .matmul(&values)?
            .reshape(((), self.head_size))
    }
}
