//! XLM-RoBERTa as Jina's code for flash attention has it (jina-embeddings-v3, jina-colbert-v2,
//! jina-reranker-v2): rotary or learned positions, queries, keys and values as one product, and
//! other names. Its adapters (LoRA) are a matter of `adapter`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    CONFIG, Family, activation, at_least_one, classifiers, head_size, layer_count, refuse, rope,
    skip_padding,
};
use crate::architecture::{
    Architecture, Attention, Counting, FeedForward, Layer, Linear, Norm, Norms, Pairs, Rotary,
    TensorRef, TokenEmbedding,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    // As transformers has it. Jina's own files say `xlm-roberta`, and name their classes.
    model_types: &["jina_embeddings_v3"],
    classes: &[
        "XLMRobertaLoRA",
        "XLMRobertaModel",
        "XLMRobertaForMaskedLM",
        "XLMRobertaForSequenceClassification",
        "XLMRobertaForTokenClassification",
    ],
    describe,
    classifiers: classifiers::DENSE_TANH,
    text: None,
};

/// Keys that the code reads if they are there, and the only value that is supported.
const FIXED: [(&str, Value); 3] = [
    ("rotary_emb_scale_base", Value::Null),
    ("rotary_emb_interleaved", Value::Bool(false)),
    ("rotary_emb_dim", Value::Null),
];

/// The keys, with the defaults of the family's own code.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    max_position_embeddings: usize,
    #[serde(default = "one")]
    type_vocab_size: usize,
    #[serde(default = "eps")]
    layer_norm_eps: f32,
    #[serde(default = "rotary")]
    position_embedding_type: String,
    #[serde(default = "theta")]
    rotary_emb_base: f64,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn one() -> usize {
    1
}

fn eps() -> f32 {
    1e-5
}

fn rotary() -> String {
    "rotary".to_owned()
}

fn theta() -> f64 {
    10_000.0
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let keys: Map<String, Value> = json.required(CONFIG)?;
    for (key, supported) in FIXED {
        let found = keys.get(key).unwrap_or(&supported);
        if *found != supported {
            let (found, supported) = (found.to_string(), supported.to_string());
            return Err(refuse(json, key, &found, &supported));
        }
    }
    let config: Config = json.required(CONFIG)?;
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
    at_least_one(
        json,
        &[
            ("vocab_size", config.vocab_size),
            ("hidden_size", hidden),
            ("intermediate_size", config.intermediate_size),
            ("max_position_embeddings", config.max_position_embeddings),
        ],
    )?;
    layer_count(json, "num_hidden_layers", config.num_hidden_layers)?;
    let head = head_size(
        json,
        ("hidden_size", hidden),
        ("num_attention_heads", heads),
    )?;
    let is_of_library = config.model_type == "jina_embeddings_v3";
    let rotary = match config.position_embedding_type.as_str() {
        "rotary" if is_of_library => Some(rope::of_all_layers(json, head, 20_000.0)?),
        "rotary" => Some(config.rotary(json, head)?),
        "absolute" if !is_of_library => None,
        other => {
            let supported = "rotary, absolute";
            return Err(refuse(json, "position_embedding_type", other, supported));
        }
    };
    let table = |name: &str, rows: usize| {
        let name = format!("embeddings.{name}_embeddings.weight");
        TensorRef::new(name, &[rows, hidden])
    };
    let is_learned = rotary.is_none();
    let (types, positions) = (config.type_vocab_size, config.max_position_embeddings);
    let mut embedding = TokenEmbedding {
        positions: is_learned.then(|| table("position", positions)),
        counting: Counting::None,
        types: (types > 0).then(|| table("token_type", types)),
        norm: Some(Norm::layer("emb_ln", hidden, config.layer_norm_eps)),
        ..TokenEmbedding::of_words(table("word", config.vocab_size))
    };
    skip_padding(json, &mut embedding)?;
    let max_tokens = embedding.max_tokens().min(positions);
    let layer = |index| config.layer(json, index, head, rotary.clone());
    Ok(Architecture {
        prefixes: &["roberta."],
        hidden,
        max_tokens,
        embedding: embedding.into(),
        position_bias: None,
        relative: None,
        convolution: None,
        layers: (0..config.num_hidden_layers)
            .map(layer)
            .collect::<Result<_, _>>()?,
        final_norm: None,
    })
}

impl Config {
    /// Returns the rotary positions that Jina's own keys describe.
    fn rotary(&self, json: &JsonFiles<'_>, head: usize) -> Result<Rotary, LoadError> {
        let base = self.rotary_emb_base;
        if !(base.is_finite() && base > 0.0) {
            return Err(refuse(
                json,
                "rotary_emb_base",
                &base.to_string(),
                "a number above 0",
            ));
        }
        if !head.is_multiple_of(2) {
            let reason = format!("heads of {head} values have no pairs to rotate");
            return Err(json.unsupported(CONFIG, reason));
        }
        Ok(Rotary {
            pairs: Pairs::Halves,
            frequencies: rope::frequencies(base, head),
            scale: 1.0,
        })
    }

    fn layer(
        &self,
        json: &JsonFiles<'_>,
        index: usize,
        head: usize,
        rotary: Option<Rotary>,
    ) -> Result<Layer, LoadError> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let name = |part: &str| format!("encoder.layers.{index}.{part}");
        let linear = |part: &str, inputs, outputs| Linear::new(&name(part), inputs, outputs);
        let norm = |part: &str| Norm::layer(&name(part), hidden, self.layer_norm_eps);
        let stored = linear("mixer.Wqkv", hidden, 3 * hidden);
        let [query, key, value] = stored.split([hidden; 3]);
        let output = linear("mixer.out_proj", hidden, hidden);
        Ok(Layer {
            attention: Attention {
                rotary,
                ..Attention::new(self.num_attention_heads, head, [query, key, value, output])
            },
            feed_forward: FeedForward::Plain {
                up: linear("mlp.fc1", hidden, inner),
                activation: activation(json, "hidden_act", &self.hidden_act)?,
                down: linear("mlp.fc2", inner, hidden),
            },
            norms: Norms::Post {
                attention: norm("norm1"),
                feed_forward: norm("norm2"),
            },
        })
    }
}
