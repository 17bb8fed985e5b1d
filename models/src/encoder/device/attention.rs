//! Self-attention of a layer, one row at a time.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::pack::Pack;
use crate::config::BertConfig;
use crate::encoder::weights::Weights;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Attention {
    /// Queries, keys and values in one product: `[H]` to `[3 H]`. Queries leave it with their scale.
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
        let (weight, bias) = weights.query_key_value(config, layer)?;
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
        let qkv = self.query_key_value.forward(x)?;
        let rows = pack.rows.iter().map(|row| self.attend(&qkv, row));
        let context = Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)?;
        self.norm.forward(&(self.output.forward(&context)? + x)?)
    }

    /// One row of L tokens: softmax(Q K^T) V for each head. `[T, 3 H]` to `[L, H]`.
    fn attend(&self, qkv: &Tensor, row: &Range<usize>) -> Result<Tensor> {
        let tokens = row.len();
        // [3, heads, L, head size], a view
        let parts = qkv
            .narrow(0, row.start, tokens)?
            .reshape((tokens, 3, self.heads, self.head_size))?
            .permute((1, 2, 0, 3))?;
        let queries = parts.get(0)?.contiguous()?;
        let keys = parts.get(1)?.contiguous()?;
        let values = parts.get(2)?.contiguous()?;
        let shares = candle_nn::ops::softmax_last_dim(&queries.matmul(&keys.t()?)?)?;
        shares
            .matmul(&values)?
            .transpose(0, 1)?
            .reshape((tokens, self.heads * self.head_size))
    }
}
