//! BERT as one writes it with Candle: padded to the longest row, a mask, one operation after
//! another.

use std::path::Path;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module, VarBuilder};
use motet_models::ModelConfig;
use motet_models::architecture::{self, TensorRef};

pub(crate) struct Bert {
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    output_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    heads: usize,
}

impl Bert {
    /// Returns the built-in weights, as f32.
    pub(crate) fn load(config: &ModelConfig) -> Result<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("builtin/all-minilm-l6-v2/model.safetensors");
        let weights =
            VarBuilder::from_buffered_safetensors(std::fs::read(file)?, DType::F32, &Device::Cpu)?;
        let bert = &config.architecture;
        let Some(embedding) = bert.embedding.tokens() else {
            candle_core::bail!("the model is one of images");
        };
        let eps = embedding.norm.as_ref().map_or(0.0, |norm| norm.eps);
        let (hidden, eps) = (bert.hidden, f64::from(eps));
        let types = embedding.types.as_ref().map_or(0, TensorRef::len);
        let tables = weights.pp("embeddings");
        let norm = |weights: VarBuilder<'_>| candle_nn::layer_norm(hidden, eps, weights);
        let layer = |(index, layer): (usize, &architecture::Layer)| {
            let inner = layer.feed_forward.inner();
            let weights = weights.pp("encoder.layer").pp(index);
            let attention = weights.pp("attention");
            let square = |name: &str| candle_nn::linear(hidden, hidden, attention.pp(name));
            Ok(Layer {
                query: square("self.query")?,
                key: square("self.key")?,
                value: square("self.value")?,
                output: square("output.dense")?,
                output_norm: norm(attention.pp("output.LayerNorm"))?,
                up: candle_nn::linear(hidden, inner, weights.pp("intermediate.dense"))?,
                down: candle_nn::linear(inner, hidden, weights.pp("output.dense"))?,
                norm: norm(weights.pp("output.LayerNorm"))?,
                heads: layer.attention.heads,
            })
        };
        Ok(Self {
            words: candle_nn::embedding(bert.vocabulary(), hidden, tables.pp("word_embeddings"))?,
            positions: candle_nn::embedding(
                bert.max_tokens,
                hidden,
                tables.pp("position_embeddings"),
            )?,
            types: candle_nn::embedding(types, hidden, tables.pp("token_type_embeddings"))?,
            norm: norm(tables.pp("LayerNorm"))?,
            layers: bert
                .layers
                .iter()
                .enumerate()
                .map(layer)
                .collect::<Result<_>>()?,
        })
    }

    /// Means of the rows' token vectors.
    pub(crate) fn encode(&self, rows: &[Vec<u32>]) -> std::result::Result<(), crate::Error> {
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let shape = (rows.len(), longest);
        let padded = |row: &Vec<u32>, fill: fn(u32) -> u32| {
            (0..longest)
                .map(|at| row.get(at).map_or(0, |id| fill(*id)))
                .collect::<Vec<_>>()
        };
        let all = |fill| {
            rows.iter()
                .flat_map(|row| padded(row, fill))
                .collect::<Vec<u32>>()
        };
        let ids = Tensor::from_vec(all(|id| id), shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(all(|_| 1), shape, &Device::Cpu)?.to_dtype(DType::F32)?;
        let away = ((1.0 - &mask)? * f64::from(f32::MIN))?
            .unsqueeze(1)?
            .unsqueeze(1)?;
        let positions = Tensor::arange(0, longest as u32, &Device::Cpu)?;
        let positions = self.positions.forward(&positions)?;
        let sum = (self.words.forward(&ids)? + self.types.forward(&ids.zeros_like()?)?)?;
        let mut x = self.norm.forward(&sum.broadcast_add(&positions)?)?;
        for layer in &self.layers {
            x = layer.forward(&x, &away)?;
        }
        let sums = x.broadcast_mul(&mask.unsqueeze(2)?)?.sum(1)?;
        std::hint::black_box(
            sums.broadcast_div(&mask.sum_keepdim(1)?)?
                .to_vec2::<f32>()?,
        );
        Ok(())
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, away: &Tensor) -> Result<Tensor> {
        let (rows, tokens, hidden) = x.dims3()?;
        let size = hidden / self.heads;
        let heads = |x: Tensor| {
            x.reshape((rows, tokens, self.heads, size))?
                .transpose(1, 2)?
                .contiguous()
        };
        let query = heads(self.query.forward(x)?)?;
        let key = heads(self.key.forward(x)?)?;
        let value = heads(self.value.forward(x)?)?;
        let scores = (query.matmul(&key.t()?)? / (size as f64).sqrt())?.broadcast_add(away)?;
        let context = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
        let context = context.transpose(1, 2)?.contiguous()?.flatten_from(2)?;
        let x = self
            .output_norm
            .forward(&(self.output.forward(&context)? + x)?)?;
        let inner = self.up.forward(&x)?.gelu_erf()?;
        self.norm.forward(&(self.down.forward(&inner)? + x)?)
    }
}
