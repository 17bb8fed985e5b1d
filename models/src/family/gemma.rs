//! Gemma 3, the part for texts, as an embedder: norms before and after each part, norms of the
//! heads, windows in most layers.

use serde::Deserialize;

use super::decoder::{Biases, Config, LayerType, layer_types};
use super::{CONFIG, Family, activation, at_least_one, classifiers, refuse, rope};
use crate::architecture::{Architecture, Embedding, HeadNorms, Layer, Mask, Norm, Norms};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["gemma3_text"],
    classes: &[],
    describe,
    classifiers: classifiers::SCORE_PADDED_0,
    text: None,
};

/// The keys that Llama has not, with the defaults of transformers.
#[derive(Deserialize)]
struct Own {
    #[serde(default = "gelu_tanh")]
    hidden_activation: String,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default = "scalar")]
    query_pre_attn_scalar: f32,
    #[serde(default = "window")]
    sliding_window: usize,
    #[serde(default = "pattern")]
    sliding_window_pattern: usize,
    #[serde(default)]
    use_bidirectional_attention: Option<bool>,
    attn_logit_softcapping: Option<f64>,
    #[serde(default = "far")]
    rope_theta: f64,
    #[serde(default = "near")]
    rope_local_base_freq: f64,
}

fn gelu_tanh() -> String {
    "gelu_pytorch_tanh".to_owned()
}

fn scalar() -> f32 {
    256.0
}

fn window() -> usize {
    4096
}

fn pattern() -> usize {
    6
}

fn far() -> f64 {
    1_000_000.0
}

fn near() -> f64 {
    10_000.0
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let mut config: Config = json.required(CONFIG)?;
    let own: Own = json.required(CONFIG)?;
    // Checked by the name that it has here.
    activation(json, "hidden_activation", &own.hidden_activation)?;
    config.hidden_act = own.hidden_activation.clone();
    config.head_dim.get_or_insert(256);
    at_least_one(
        json,
        &[
            ("sliding_window", own.sliding_window),
            ("sliding_window_pattern", own.sliding_window_pattern),
        ],
    )?;
    if let Some(softcap) = own.attn_logit_softcapping {
        let found = softcap.to_string();
        return Err(refuse(json, "attn_logit_softcapping", &found, "null"));
    }
    if !(own.query_pre_attn_scalar.is_finite() && own.query_pre_attn_scalar > 0.0) {
        let found = own.query_pre_attn_scalar.to_string();
        return Err(refuse(
            json,
            "query_pre_attn_scalar",
            &found,
            "a number above 0",
        ));
    }
    let sizes = config.sizes(json)?;
    let by_place = |index: usize| match (index + 1) % own.sliding_window_pattern {
        0 => LayerType::Full,
        _ => LayerType::Sliding,
    };
    let types = layer_types(json, config.num_hidden_layers, by_place)?;
    let head = sizes.head;
    let full = rope::of_layer_type(json, "full_attention", head, own.rope_theta, true)?;
    let theta = own.rope_local_base_freq;
    let sliding = rope::of_layer_type(json, "sliding_attention", head, theta, false)?;
    let biases = Biases {
        projections: own.attention_bias,
        output: own.attention_bias,
        feed_forward: false,
    };
    let norm = |name: &str, size: usize| Norm {
        scale_offset: 1.0,
        ..config.norm(name, size)
    };
    let layer = |(index, layer_type): (usize, &LayerType)| {
        let place = match layer_type {
            LayerType::Full => (full.clone(), config.mask(None)),
            LayerType::Sliding => (sliding.clone(), own.window(&config)),
        };
        let mut layer: Layer = config.layer(json, &sizes, index, biases, place)?;
        let of_head = |name: &str| norm(&format!("layers.{index}.self_attn.{name}"), head);
        layer.attention.head_norms = Some(HeadNorms {
            query: of_head("q_norm"),
            key: of_head("k_norm"),
        });
        layer.attention.scale = own.query_pre_attn_scalar.sqrt().recip();
        let around = |names: [&str; 2]| {
            let names = names.map(|name| format!("layers.{index}.{name}_layernorm"));
            Box::new(names.map(|name| norm(&name, config.hidden_size)))
        };
        layer.norms = Norms::Sandwich {
            attention: around(["input", "post_attention"]),
            feed_forward: around(["pre_feedforward", "post_feedforward"]),
        };
        Ok(layer)
    };
    let layers = types.iter().enumerate().map(layer);
    let layers = layers.collect::<Result<Vec<_>, LoadError>>()?;
    let mut architecture = config.encoder(layers);
    if let Embedding::Tokens(embedding) = &mut architecture.embedding {
        embedding.scale = (config.hidden_size as f32).sqrt();
    }
    architecture.final_norm = Some(norm("norm", config.hidden_size));
    Ok(architecture)
}

impl Own {
    /// Returns the mask of a layer with a window. In a model whose tokens see the whole row, half
    /// of the window is on each side.
    fn window(&self, config: &Config) -> Mask {
        if self.use_bidirectional_attention == Some(true) {
            Mask::Window {
                before: self.sliding_window / 2,
                after: self.sliding_window / 2,
            }
        } else {
            config.mask(Some(self.sliding_window))
        }
    }
}
