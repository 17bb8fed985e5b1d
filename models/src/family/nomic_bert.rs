//! Nomic BERT: BERT with rotary positions and a gated feed-forward part. Published files have
//! GPT-2's keys; those of the library have BERT's.

use serde::Deserialize;
use serde_json::Value;

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
    model_types: &["nomic_bert"],
    classes: &[
        "NomicBertModel",
        "NomicBertForPreTraining",
        "NomicBertForSequenceClassification",
    ],
    describe,
    classifiers: classifiers::POOLER,
    text: None,
};

/// Keys whose values would make another computation of it, and the only value that is supported.
const FIXED: [(&str, Value); 11] = [
    ("prenorm", Value::Bool(false)),
    ("parallel_block", Value::Bool(false)),
    ("parallel_block_tied_norm", Value::Bool(false)),
    ("use_rms_norm", Value::Bool(false)),
    ("norm_mlp", Value::Bool(false)),
    ("causal", Value::Bool(false)),
    ("scale_attn_weights", Value::Bool(true)),
    ("scale_attn_by_inverse_layer_idx", Value::Bool(false)),
    ("rotary_emb_scale_base", Value::Null),
    ("num_experts", Value::Null),
    ("moe_every_n_layers", Value::Null),
];

/// The sizes and choices that both kinds of keys state.
struct Config {
    vocabulary: usize,
    types: usize,
    hidden: usize,
    inner: usize,
    layers: usize,
    heads: usize,
    head: usize,
    eps: f32,
    max_tokens: usize,
    gated: bool,
    activation: Activation,
    /// Of the products of attention, of those to the inner size, and of the one back.
    biases: [bool; 3],
    rotary: Rotary,
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let keys: serde_json::Map<String, Value> = json.required(CONFIG)?;
    for (key, supported) in FIXED {
        let found = keys.get(key).unwrap_or(&supported);
        // No experts are as good as none stated.
        let is_none = supported.is_null() && (found == 0 || found.is_null());
        if *found != supported && !is_none {
            return Err(refuse(
                json,
                key,
                &found.to_string(),
                &supported.to_string(),
            ));
        }
    }
    let config = if keys.contains_key("n_embd") {
        published(json)?
    } else {
        of_library(json)?
    };
    let table = |name: &str, rows: usize| {
        let name = format!("embeddings.{name}_embeddings.weight");
        TensorRef::new(name, &[rows, config.hidden])
    };
    Ok(Architecture {
        prefixes: &["bert.", "nomic_bert."],
        hidden: config.hidden,
        max_tokens: config.max_tokens,
        embedding: Embedding::Tokens(TokenEmbedding {
            types: (config.types > 0).then(|| table("token_type", config.types)),
            norm: Some(Norm::layer("emb_ln", config.hidden, config.eps)),
            ..TokenEmbedding::of_words(table("word", config.vocabulary))
        }),
        position_bias: None,
        relative: None,
        convolution: None,
        layers: (0..config.layers)
            .map(|index| config.layer(index))
            .collect(),
        final_norm: None,
    })
}

impl Config {
    fn check(
        &self,
        json: &JsonFiles<'_>,
        [vocab, hidden, layers, heads, inner]: [&str; 5],
    ) -> Result<(), LoadError> {
        at_least_one(
            json,
            &[
                (vocab, self.vocabulary),
                (hidden, self.hidden),
                (heads, self.heads),
                (inner, self.inner),
            ],
        )?;
        layer_count(json, layers, self.layers)
    }

    fn layer(&self, index: usize) -> Layer {
        let (hidden, inner, all) = (self.hidden, self.inner, self.heads * self.head);
        let [of_attention, to_inner, back] = self.biases;
        let linear = |name: &str, inputs: usize, outputs: usize, bias: bool| {
            let linear = Linear::new(&format!("encoder.layers.{index}.{name}"), inputs, outputs);
            if bias { linear } else { linear.without_bias() }
        };
        let norm =
            |name: &str| Norm::layer(&format!("encoder.layers.{index}.{name}"), hidden, self.eps);
        let stored = linear("attn.Wqkv", hidden, 3 * all, of_attention);
        let [query, key, value] = stored.split([all; 3]);
        let output = linear("attn.out_proj", all, hidden, of_attention);
        let (activation, down) = (self.activation, linear("mlp.fc2", inner, hidden, back));
        Layer {
            attention: Attention {
                rotary: Some(self.rotary.clone()),
                ..Attention::new(self.heads, self.head, [query, key, value, output])
            },
            feed_forward: if self.gated {
                FeedForward::Gated {
                    gate: linear("mlp.fc12", hidden, inner, to_inner),
                    up: linear("mlp.fc11", hidden, inner, to_inner),
                    activation,
                    down,
                }
            } else {
                FeedForward::Plain {
                    up: linear("mlp.fc1", hidden, inner, to_inner),
                    activation,
                    down,
                }
            },
            norms: Norms::Post {
                attention: norm("norm1"),
                feed_forward: norm("norm2"),
            },
        }
    }
}

/// Reads the keys of published files.
fn published(json: &JsonFiles<'_>) -> Result<Config, LoadError> {
    /// The keys, with the defaults of the family's own code.
    #[derive(Deserialize)]
    struct Keys {
        vocab_size: usize,
        #[serde(default = "one")]
        pad_vocab_size_multiple: usize,
        #[serde(default = "two")]
        type_vocab_size: usize,
        n_embd: usize,
        n_inner: Option<usize>,
        n_layer: usize,
        n_head: usize,
        n_positions: usize,
        #[serde(default = "eps")]
        layer_norm_epsilon: f32,
        activation_function: String,
        #[serde(default = "yes")]
        qkv_proj_bias: bool,
        #[serde(default = "yes")]
        mlp_fc1_bias: bool,
        #[serde(default = "yes")]
        mlp_fc2_bias: bool,
        #[serde(default = "theta")]
        rotary_emb_base: f64,
        rotary_emb_fraction: f64,
        #[serde(default)]
        rotary_emb_interleaved: bool,
        rotary_scaling_factor: Option<f64>,
        #[serde(default = "trained")]
        max_trained_positions: usize,
    }
    fn one() -> usize {
        1
    }
    fn two() -> usize {
        2
    }
    fn eps() -> f32 {
        1e-5
    }
    fn yes() -> bool {
        true
    }
    fn theta() -> f64 {
        1000.0
    }
    fn trained() -> usize {
        2048
    }
    let keys: Keys = json.required(CONFIG)?;
    at_least_one(
        json,
        &[
            ("pad_vocab_size_multiple", keys.pad_vocab_size_multiple),
            ("vocab_size", keys.vocab_size),
            ("n_embd", keys.n_embd),
            ("n_positions", keys.n_positions),
        ],
    )?;
    let head = head_size(json, ("n_embd", keys.n_embd), ("n_head", keys.n_head))?;
    let fraction = keys.rotary_emb_fraction;
    let rotated = (head as f64 * fraction) as usize;
    if !(fraction > 0.0 && fraction <= 1.0) || rotated == 0 || !rotated.is_multiple_of(2) {
        let supported = "above 0 and up to 1, with an even number of rotated columns";
        return Err(refuse(
            json,
            "rotary_emb_fraction",
            &fraction.to_string(),
            supported,
        ));
    }
    // Rows that are longer than those of the training have other angles each.
    let max_tokens = match keys.rotary_scaling_factor {
        Some(_) => keys.n_positions.min(keys.max_trained_positions),
        None => keys.n_positions,
    };
    let (gated, activation) = match keys.activation_function.as_str() {
        "swiglu" => (true, Activation::Silu),
        "geglu" => (true, Activation::Gelu),
        "glu" => {
            let supported = "swiglu, geglu, and activations without a gate";
            return Err(refuse(json, "activation_function", "glu", supported));
        }
        other => (false, activation(json, "activation_function", other)?),
    };
    let config = Config {
        vocabulary: keys
            .vocab_size
            .next_multiple_of(keys.pad_vocab_size_multiple),
        types: keys.type_vocab_size,
        hidden: keys.n_embd,
        inner: keys.n_inner.unwrap_or(4 * keys.n_embd),
        layers: keys.n_layer,
        heads: keys.n_head,
        head,
        eps: keys.layer_norm_epsilon,
        max_tokens,
        gated,
        activation,
        biases: [keys.qkv_proj_bias, keys.mlp_fc1_bias, keys.mlp_fc2_bias],
        rotary: Rotary {
            pairs: if keys.rotary_emb_interleaved {
                Pairs::Neighbours
            } else {
                Pairs::Halves
            },
            frequencies: rope::frequencies(keys.rotary_emb_base, rotated),
            scale: 1.0,
        },
    };
    config.check(
        json,
        ["vocab_size", "n_embd", "n_layer", "n_head", "n_inner"],
    )?;
    Ok(config)
}

/// Reads the keys of the library's files.
fn of_library(json: &JsonFiles<'_>) -> Result<Config, LoadError> {
    #[derive(Deserialize)]
    struct Keys {
        vocab_size: usize,
        #[serde(default = "two")]
        type_vocab_size: usize,
        hidden_size: usize,
        intermediate_size: usize,
        num_hidden_layers: usize,
        num_attention_heads: usize,
        head_dim: Option<usize>,
        max_position_embeddings: usize,
        #[serde(default = "eps")]
        layer_norm_eps: f32,
        #[serde(default = "silu")]
        hidden_act: String,
    }
    fn two() -> usize {
        2
    }
    fn eps() -> f32 {
        1e-12
    }
    fn silu() -> String {
        "silu".to_owned()
    }
    let keys: Keys = json.required(CONFIG)?;
    let (hidden, heads) = (keys.hidden_size, keys.num_attention_heads);
    let head = match keys.head_dim {
        Some(size) => size,
        None => head_size(
            json,
            ("hidden_size", hidden),
            ("num_attention_heads", heads),
        )?,
    };
    let config = Config {
        vocabulary: keys.vocab_size,
        types: keys.type_vocab_size,
        hidden,
        inner: keys.intermediate_size,
        layers: keys.num_hidden_layers,
        heads,
        head,
        eps: keys.layer_norm_eps,
        max_tokens: keys.max_position_embeddings,
        gated: true,
        activation: activation(json, "hidden_act", &keys.hidden_act)?,
        biases: [false; 3],
        rotary: rope::of_all_layers(json, head, 1000.0)?,
    };
    config.check(
        json,
        [
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
        ],
    )?;
    Ok(config)
}
