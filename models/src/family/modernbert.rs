//! ModernBERT: norms before each part, rotary positions, windows in most layers, gated
//! feed-forward; matrices that belong together are stored as one.

use serde::Deserialize;

use super::decoder::{LayerType, layer_types};
use super::{CONFIG, Family, activation, at_least_one, classifiers, head_size, layer_count, rope};
use crate::architecture::{
    Architecture, Attention, Embedding, FeedForward, Layer, Linear, Mask, Norm, Norms, TensorRef,
    TokenEmbedding,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["modernbert"],
    classes: &[],
    describe,
    classifiers: classifiers::HEAD_NORM,
    text: None,
};

/// The keys of config.json, with the defaults of transformers.
#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    #[serde(default = "gelu")]
    hidden_activation: String,
    #[serde(default = "eps")]
    norm_eps: f32,
    #[serde(default)]
    norm_bias: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default = "window")]
    local_attention: usize,
    #[serde(default = "every")]
    global_attn_every_n_layers: usize,
    #[serde(default = "far")]
    global_rope_theta: f64,
    #[serde(default = "near")]
    local_rope_theta: f64,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn eps() -> f32 {
    1e-5
}

fn window() -> usize {
    128
}

fn every() -> usize {
    3
}

fn far() -> f64 {
    160_000.0
}

fn near() -> f64 {
    10_000.0
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let config: Config = json.required(CONFIG)?;
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
    at_least_one(
        json,
        &[
            ("vocab_size", config.vocab_size),
            ("hidden_size", hidden),
            ("intermediate_size", config.intermediate_size),
            ("num_attention_heads", heads),
            ("max_position_embeddings", config.max_position_embeddings),
            (
                "global_attn_every_n_layers",
                config.global_attn_every_n_layers,
            ),
        ],
    )?;
    let count = config.num_hidden_layers;
    layer_count(json, "num_hidden_layers", count)?;
    let head = head_size(
        json,
        ("hidden_size", hidden),
        ("num_attention_heads", heads),
    )?;
    let by_place = |index: usize| match index % config.global_attn_every_n_layers {
        0 => LayerType::Full,
        _ => LayerType::Sliding,
    };
    let types = layer_types(json, count, by_place)?;
    let rotary = |layer_type, theta| rope::of_layer_type(json, layer_type, head, theta, true);
    let full = rotary("full_attention", config.global_rope_theta)?;
    let sliding = rotary("sliding_attention", config.local_rope_theta)?;
    let activation = activation(json, "hidden_activation", &config.hidden_activation)?;
    let half = config.local_attention / 2;
    let layer = |(index, layer_type): (usize, &LayerType)| {
        let (rotary, mask) = match layer_type {
            LayerType::Full => (&full, Mask::All),
            LayerType::Sliding => (
                &sliding,
                Mask::Window {
                    before: half,
                    after: half,
                },
            ),
        };
        let attention = config.attention(index, head);
        Layer {
            attention: Attention {
                rotary: Some(rotary.clone()),
                mask,
                ..attention
            },
            feed_forward: {
                let inner = config.intermediate_size;
                let stored = config.linear(index, "mlp.Wi", hidden, 2 * inner, config.mlp_bias);
                let [gate, up] = stored.split([inner, inner]);
                FeedForward::Gated {
                    gate,
                    up,
                    activation,
                    down: config.linear(index, "mlp.Wo", inner, hidden, config.mlp_bias),
                }
            },
            norms: Norms::Pre {
                attention: (index > 0).then(|| config.norm(&format!("layers.{index}.attn_norm"))),
                feed_forward: config.norm(&format!("layers.{index}.mlp_norm")),
            },
        }
    };
    let layers = types.iter().enumerate().map(layer).collect();
    Ok(Architecture {
        prefixes: &["model."],
        hidden,
        max_tokens: config.max_position_embeddings,
        embedding: Embedding::Tokens(TokenEmbedding {
            norm: Some(config.norm("embeddings.norm")),
            ..TokenEmbedding::of_words(TensorRef::new(
                "embeddings.tok_embeddings.weight",
                &[config.vocab_size, hidden],
            ))
        }),
        position_bias: None,
        relative: None,
        convolution: None,
        layers,
        final_norm: Some(config.norm("final_norm")),
    })
}

impl Config {
    fn norm(&self, name: &str) -> Norm {
        let norm = Norm::layer(name, self.hidden_size, self.norm_eps);
        if self.norm_bias {
            norm
        } else {
            norm.without_shift()
        }
    }

    fn linear(
        &self,
        layer: usize,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Linear {
        let linear = Linear::new(&format!("layers.{layer}.{name}"), inputs, outputs);
        if bias { linear } else { linear.without_bias() }
    }

    /// Returns attention with neither rotation nor mask.
    fn attention(&self, layer: usize, head: usize) -> Attention {
        let (hidden, bias) = (self.hidden_size, self.attention_bias);
        let stored = self.linear(layer, "attn.Wqkv", hidden, 3 * hidden, bias);
        let [query, key, value] = stored.split([hidden; 3]);
        let output = self.linear(layer, "attn.Wo", hidden, hidden, bias);
        Attention::new(self.num_attention_heads, head, [query, key, value, output])
    }
}
