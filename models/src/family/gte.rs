//! `new`, the models of GTE, named `gte` by the library: BERT with rotary positions and a gated
//! feed-forward part; matrices that belong together are stored as one.

use serde::Deserialize;

use super::{
    CONFIG, Family, activation, at_least_one, classifiers, head_size, layer_count, refuse, rope,
};
use crate::architecture::{
    Activation, Architecture, Attention, Embedding, FeedForward, Layer, Linear, Norm, Norms, Pairs,
    Rotary, TensorRef, TokenEmbedding,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["new", "gte"],
    classes: &[
        "NewModel",
        "NewForMaskedLM",
        "NewForSequenceClassification",
        "NewForTokenClassification",
    ],
    describe,
    classifiers: classifiers::POOLER,
    text: None,
};

/// The keys of config.json, with the defaults of the family's own code.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "one_type")]
    type_vocab_size: usize,
    #[serde(default = "eps")]
    layer_norm_eps: f32,
    #[serde(default = "gelu")]
    hidden_act: String,
    layer_norm_type: Option<String>,
    position_embedding_type: Option<String>,
    #[serde(default = "packed")]
    pack_qkv: bool,
    #[serde(default)]
    logn_attention_scale: bool,
    #[serde(default = "theta")]
    rope_theta: f64,
    rope_scaling: Option<Scaling>,
}

/// How the angles are slowed down, to reach farther.
#[derive(Deserialize)]
struct Scaling {
    r#type: String,
    factor: f64,
    mixed_b: Option<f64>,
}

fn one_type() -> usize {
    1
}

fn eps() -> f32 {
    1e-12
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn packed() -> bool {
    true
}

fn theta() -> f64 {
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
            ("num_attention_heads", heads),
            ("intermediate_size", config.intermediate_size),
            ("max_position_embeddings", config.max_position_embeddings),
        ],
    )?;
    layer_count(json, "num_hidden_layers", config.num_hidden_layers)?;
    for (key, found, supported) in [
        ("layer_norm_type", &config.layer_norm_type, "layer_norm"),
        (
            "position_embedding_type",
            &config.position_embedding_type,
            "rope",
        ),
    ] {
        if let Some(found) = found.as_deref().filter(|found| *found != supported) {
            return Err(refuse(json, key, found, supported));
        }
    }
    if config.logn_attention_scale {
        return Err(refuse(json, "logn_attention_scale", "true", "false"));
    }
    at_least_one(json, &[("type_vocab_size", config.type_vocab_size.max(1))])?;
    let head = head_size(
        json,
        ("hidden_size", hidden),
        ("num_attention_heads", heads),
    )?;
    let rotary = if config.model_type == "gte" {
        rope::of_all_layers(json, head, 160_000.0)?
    } else {
        Rotary {
            pairs: Pairs::Halves,
            frequencies: config.frequencies(json, head)?,
            scale: 1.0,
        }
    };
    let activation = activation(json, "hidden_act", &config.hidden_act)?;
    let table = |name: &str, rows: usize| {
        let name = format!("embeddings.{name}_embeddings.weight");
        TensorRef::new(name, &[rows, hidden])
    };
    let types = config.type_vocab_size;
    let layers = (0..config.num_hidden_layers)
        .map(|index| config.layer(index, head, activation, rotary.clone()));
    Ok(Architecture {
        prefixes: &["new.", "gte."],
        hidden,
        max_tokens: config.max_position_embeddings,
        embedding: Embedding::Tokens(TokenEmbedding {
            types: (types > 0).then(|| table("token_type", types)),
            norm: Some(Norm::layer(
                "embeddings.LayerNorm",
                hidden,
                config.layer_norm_eps,
            )),
            ..TokenEmbedding::of_words(table("word", config.vocab_size))
        }),
        position_bias: None,
        relative: None,
        convolution: None,
        layers: layers.collect(),
        final_norm: None,
    })
}

impl Config {
    /// Returns the angles of a position: the usual ones, or those that NTK-aware scaling slows
    /// down.
    fn frequencies(&self, json: &JsonFiles<'_>, head: usize) -> Result<Vec<f32>, LoadError> {
        let Some(scaling) = &self.rope_scaling else {
            return Ok(rope::frequencies(self.rope_theta, head));
        };
        if scaling.r#type != "ntk" {
            return Err(refuse(json, "rope_scaling.type", &scaling.r#type, "ntk"));
        }
        if !(scaling.factor.is_finite() && scaling.factor > 0.0) {
            let found = scaling.factor.to_string();
            return Err(refuse(
                json,
                "rope_scaling.factor",
                &found,
                "a number above 0",
            ));
        }
        Ok(ntk(self.rope_theta, head, scaling.factor, scaling.mixed_b))
    }

    fn layer(&self, index: usize, head: usize, activation: Activation, rotary: Rotary) -> Layer {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let linear = |name: &str, inputs: usize, outputs: usize| {
            Linear::new(&format!("encoder.layer.{index}.{name}"), inputs, outputs)
        };
        let norm = |name: &str| {
            Norm::layer(
                &format!("encoder.layer.{index}.{name}"),
                hidden,
                self.layer_norm_eps,
            )
        };
        let [query, key, value] = if self.pack_qkv {
            linear("attention.qkv_proj", hidden, 3 * hidden).split([hidden; 3])
        } else {
            ["q", "k", "v"].map(|name| linear(&format!("attention.{name}_proj"), hidden, hidden))
        };
        let output = linear("attention.o_proj", hidden, hidden);
        let stored = linear("mlp.up_gate_proj", hidden, 2 * inner).without_bias();
        let [up, gate] = stored.split([inner; 2]);
        Layer {
            attention: Attention {
                rotary: Some(rotary),
                ..Attention::new(self.num_attention_heads, head, [query, key, value, output])
            },
            feed_forward: FeedForward::Gated {
                gate,
                up,
                activation,
                down: linear("mlp.down_proj", inner, hidden),
            },
            norms: Norms::Post {
                attention: norm("attn_ln"),
                feed_forward: norm("mlp_ln"),
            },
        }
    }
}

/// Returns the frequencies of NTK-aware scaling by `factor`: with a larger base, and all slower by
/// the same; or, with `mixed`, slower the later the pair is.
fn ntk(theta: f64, columns: usize, factor: f64, mixed: Option<f64>) -> Vec<f32> {
    if factor <= 1.0 {
        return rope::frequencies(theta, columns);
    }
    let size = columns as f64;
    match mixed {
        None => {
            let usual = rope::frequencies(theta * factor, columns).into_iter();
            let slower = factor.powf(2.0 / size);
            usual.map(|x| (f64::from(x) / slower) as f32).collect()
        }
        Some(power) => {
            let usual = rope::frequencies(theta, columns).into_iter().zip(1..);
            let least = factor.ln() / (size / 2.0).powf(power);
            let slower = |pair: i32| (least * f64::from(pair).powf(power)).exp();
            usual
                .map(|(x, pair)| (f64::from(x) / slower(pair)) as f32)
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_angles_reach_farther() {
        // Of 8 columns, theta 100 and factor 16: 1600^(-k / 4) / 16^(1 / 4), and
        // 100^(-k / 4) exp(-ln 16 ((k + 1) / 4)^0.5).
        for (factor, mixed, expected) in [
            (1.0, None, [1.0, 0.316_227_8, 0.1, 0.031_622_8]),
            (16.0, None, [0.5, 0.079_056_9, 0.012_5, 0.001_976_4]),
            (
                16.0,
                Some(0.5),
                [0.25, 0.044_520_4, 0.009_061_5, 0.001_976_4],
            ),
        ] {
            let found = ntk(100.0, 8, factor, mixed);
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-6,
                    "{factor} {mixed:?}: {found} {expected}"
                );
            }
        }
    }
}
