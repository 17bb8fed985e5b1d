//! Self-attention of a layer, one row at a time.

use std::ops::Range;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::elementwise::{add_bias, add_bias_residual, softmax};
use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::pack::Pack;
use super::weights::Weights;
use crate::config::BertConfig;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Attention {
    /// Queries, keys and values in one product: `[H]` to `[3 H]`. Queries leave it already divided by the square root
    /// of the head size, so that scores need no further step.
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
        let scale = (config.head_size() as f32).sqrt().recip();
        let mut weight = Vec::with_capacity(3 * hidden * hidden);
        let mut bias = Vec::with_capacity(3 * hidden);
        for (part, scale) in [("query", scale), ("key", 1.0), ("value", 1.0)] {
            let name = format!("{layer}.attention.self.{part}");
            weight.extend(
                weights
                    .values(&format!("{name}.weight"), &[hidden, hidden])?
                    .iter()
                    .map(|w| w * scale),
            );
            bias.extend(
                weights
                    .values(&format!("{name}.bias"), &[hidden])?
                    .iter()
                    .map(|b| b * scale),
            );
        }
        Ok(Self {
            query_key_value: Linear::new(weights, weight, bias)?,
            output: Linear::load(
                weights,
                &format!("{layer}.attention.output.dense"),
                hidden,
                hidden,
            )?,
            norm: LayerNorm::load(
                weights,
                config,
                &format!("{layer}.attention.output.LayerNorm"),
            )?,
            heads: config.num_attention_heads,
            head_size: config.head_size(),
        })
    }

    /// `[T, H]` to `[T, H]`
    pub(super) fn forward(&self, x: &Tensor, pack: &Pack) -> Result<Tensor> {
        let qkv = add_bias(self.query_key_value.product(x)?, &self.query_key_value.bias)?;
        let rows: Vec<Tensor> = if x.device().is_cpu() {
            pack.rows
                .par_iter()
                .map(|row| self.attend(&qkv, row))
                .collect::<Result<_>>()?
        } else {
            pack.rows
                .iter()
                .map(|row| self.attend(&qkv, row))
                .collect::<Result<_>>()?
        };
        let context = Tensor::cat(&rows, 0)?;
        let sum = add_bias_residual(self.output.product(&context)?, &self.output.bias, x)?;
        self.norm.forward(&sum)
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
        let shares = softmax(queries.matmul(&keys.t()?)?)?;
        shares
            .matmul(&values)?
            .transpose(0, 1)?
            .reshape((tokens, self.heads * self.head_size))
    }
}
