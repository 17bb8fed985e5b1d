//! DeBERTa v2 and v3: BERT whose attention has vectors of distances beside those of tokens, and
//! mostly no positions in the embedding.

use serde::Deserialize;
use serde_json::Value;

use super::{
    CONFIG, Family, activation, at_least_one, classifiers, head_size, layer_count, refuse,
};
use crate::architecture::{
    Activation, Architecture, Attention, Convolution, ConvolutionActivation, Counting, Distances,
    Embedding, FeedForward, Layer, Linear, Norm, Norms, RelativeEmbedding, RelativeProducts,
    TensorRef, TokenEmbedding,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["deberta-v2"],
    classes: &[],
    describe,
    classifiers: classifiers::CONTEXT_POOLER,
    text: None,
};

/// The keys of config.json, with the defaults of transformers.
#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default)]
    type_vocab_size: usize,
    #[serde(default = "eps")]
    layer_norm_eps: f32,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default)]
    relative_attention: bool,
    max_relative_positions: Option<i64>,
    position_buckets: Option<i64>,
    #[serde(default = "yes")]
    position_biased_input: bool,
    pos_att_type: Option<Value>,
    #[serde(default)]
    share_att_key: bool,
    norm_rel_ebd: Option<String>,
    embedding_size: Option<usize>,
    attention_head_size: Option<usize>,
    conv_kernel_size: Option<i64>,
    conv_groups: Option<usize>,
    conv_act: Option<String>,
}

fn eps() -> f32 {
    1e-7
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn yes() -> bool {
    true
}

/// Which products with distances a model has.
#[derive(Clone, Copy)]
struct Kinds {
    /// Of a query with the key of a distance.
    c2p: bool,
    /// Of a key with the query of a distance.
    p2c: bool,
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
    let head = head_size(
        json,
        ("hidden_size", hidden),
        ("num_attention_heads", heads),
    )?;
    if let Some(found) = config.attention_head_size.filter(|found| *found != head) {
        let (found, supported) = (found.to_string(), head.to_string());
        return Err(refuse(json, "attention_head_size", &found, &supported));
    }
    let size = config.embedding_size.unwrap_or(hidden);
    at_least_one(json, &[("embedding_size", size)])?;
    // Each layer has a table of the distances within a row.
    const POSITIONS_MAX: usize = 1 << 16;
    let positions = config.max_position_embeddings;
    if positions > POSITIONS_MAX {
        let reason = format!("max_position_embeddings is {positions}; at most {POSITIONS_MAX}");
        return Err(json.unsupported(CONFIG, reason));
    }
    let kinds = config.kinds(json)?;
    let relative = config.relative(json)?;
    let convolution = config.convolution(json)?;
    let activation = activation(json, "hidden_act", &config.hidden_act)?;
    let layers = (0..config.num_hidden_layers)
        .map(|index| config.layer(index, head, kinds, activation))
        .collect();
    let table = |name: &str, rows: usize| {
        let name = format!("embeddings.{name}_embeddings.weight");
        TensorRef::new(name, &[rows, size])
    };
    let types = config.type_vocab_size;
    let is_projected = size != hidden;
    // The norm is that of the hidden size, whatever size the tables have.
    let norm = Some(config.norm("embeddings.LayerNorm"));
    let (norm, projected_norm) = match is_projected {
        true => (None, norm),
        false => (norm, None),
    };
    let projection = Linear::new("embeddings.embed_proj", size, hidden).without_bias();
    Ok(Architecture {
        prefixes: &["deberta."],
        hidden,
        max_tokens: positions,
        embedding: Embedding::Tokens(TokenEmbedding {
            positions: config
                .position_biased_input
                .then(|| table("position", positions)),
            counting: if config.position_biased_input {
                Counting::All
            } else {
                Counting::None
            },
            types: (types > 0).then(|| table("token_type", types)),
            norm,
            projection: is_projected.then_some(projection),
            projected_norm,
            ..TokenEmbedding::of_words(table("word", config.vocab_size))
        }),
        position_bias: None,
        relative,
        convolution,
        layers,
        final_norm: None,
    })
}

impl Config {
    fn norm(&self, name: &str) -> Norm {
        Norm::layer(name, self.hidden_size, self.layer_norm_eps)
    }

    /// Reads the kinds of products: a list, or names with `|` between.
    fn kinds(&self, json: &JsonFiles<'_>) -> Result<Kinds, LoadError> {
        let names: Vec<String> = match &self.pos_att_type {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(names)) => names.split('|').map(str::to_owned).collect(),
            Some(names) => serde_json::from_value(names.clone())
                .map_err(|cause| json.unsupported(CONFIG, format!("pos_att_type: {cause}")))?,
        };
        let names = names.iter().map(|name| name.trim().to_lowercase());
        let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
        let known = |name: &&String| ["c2p", "p2c"].contains(&name.as_str());
        if let Some(other) = names.iter().find(|name| !known(name)) {
            return Err(refuse(json, "pos_att_type", other, "c2p, p2c"));
        }
        let has = |name: &str| names.iter().any(|known| known == name);
        let kinds = Kinds {
            c2p: has("c2p"),
            p2c: has("p2c"),
        };
        if (kinds.c2p || kinds.p2c) && !self.relative_attention {
            return Err(refuse(
                json,
                "relative_attention",
                "false",
                "true, with pos_att_type",
            ));
        }
        Ok(kinds)
    }

    /// Returns the vectors of distances.
    fn relative(&self, json: &JsonFiles<'_>) -> Result<Option<RelativeEmbedding>, LoadError> {
        if !self.relative_attention {
            return Ok(None);
        }
        let above_0 = |value: Option<i64>| usize::try_from(value?).ok().filter(|x| *x > 0);
        let reach = above_0(self.max_relative_positions);
        let reach = reach.unwrap_or(self.max_position_embeddings);
        let buckets = above_0(self.position_buckets);
        let span = buckets.unwrap_or(reach);
        at_least_one(
            json,
            &[
                ("position_buckets", span),
                ("max_relative_positions", reach),
            ],
        )?;
        if buckets.is_some() && (span < 4 || reach <= span / 2 + 1) {
            let reason = format!(
                "position_buckets is {span} and max_relative_positions {reach}; half of the \
                 buckets must be at least 2 and less than the positions"
            );
            return Err(json.unsupported(CONFIG, reason));
        }
        let norms = self
            .norm_rel_ebd
            .as_deref()
            .unwrap_or("none")
            .to_lowercase();
        let mut names = norms.split('|').map(str::trim);
        if let Some(other) = names
            .clone()
            .find(|name| !["none", "layer_norm"].contains(name))
        {
            return Err(refuse(json, "norm_rel_ebd", other, "none, layer_norm"));
        }
        let norm = names.any(|name| name == "layer_norm");
        let name = "encoder.rel_embeddings.weight";
        Ok(Some(RelativeEmbedding {
            table: TensorRef::new(name, &[2 * span, self.hidden_size]),
            norm: norm.then(|| self.norm("encoder.LayerNorm")),
            distances: Distances {
                span,
                max_distance: buckets.map(|_| reach),
            },
        }))
    }

    /// Returns the convolution beside the first layer, if there is one.
    fn convolution(&self, json: &JsonFiles<'_>) -> Result<Option<Convolution>, LoadError> {
        const KERNEL_MAX: usize = 255;
        let kernel = self.conv_kernel_size.filter(|kernel| *kernel > 0);
        let Some(found) = kernel else {
            return Ok(None);
        };
        let kernel = usize::try_from(found).ok();
        let Some(kernel) = kernel.filter(|it| *it <= KERNEL_MAX && !it.is_multiple_of(2)) else {
            let supported = format!("0 for none, odd numbers up to {KERNEL_MAX}");
            let found = found.to_string();
            return Err(refuse(json, "conv_kernel_size", &found, &supported));
        };
        if let Some(groups) = self.conv_groups.filter(|groups| *groups != 1) {
            return Err(refuse(json, "conv_groups", &groups.to_string(), "1"));
        }
        let activation = match self.conv_act.as_deref().unwrap_or("tanh") {
            "tanh" => ConvolutionActivation::Tanh,
            name => ConvolutionActivation::Other(activation(json, "conv_act", name)?),
        };
        let hidden = self.hidden_size;
        Ok(Some(Convolution {
            weight: TensorRef::new("encoder.conv.conv.weight", &[hidden, hidden, kernel]),
            bias: TensorRef::new("encoder.conv.conv.bias", &[hidden]),
            activation,
            norm: self.norm("encoder.conv.LayerNorm"),
        }))
    }

    fn layer(&self, index: usize, head: usize, kinds: Kinds, activation: Activation) -> Layer {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let linear = |name: &str, inputs: usize, outputs: usize| {
            Linear::new(&format!("encoder.layer.{index}.{name}"), inputs, outputs)
        };
        let norm = |name: &str| self.norm(&format!("encoder.layer.{index}.{name}.LayerNorm"));
        let of_attention = |name: &str| linear(&format!("attention.{name}"), hidden, hidden);
        let products = [
            "self.query_proj",
            "self.key_proj",
            "self.value_proj",
            "output.dense",
        ];
        let of_distances = |there: bool, own: &str, shared: &str| {
            let name = if self.share_att_key { shared } else { own };
            there.then(|| of_attention(&format!("self.{name}_proj")))
        };
        // Scores of each kind have the same share.
        let kinds_in_all = 1 + usize::from(kinds.c2p) + usize::from(kinds.p2c);
        Layer {
            attention: Attention {
                scale: ((head * kinds_in_all) as f32).sqrt().recip(),
                relative: (kinds.c2p || kinds.p2c).then(|| RelativeProducts {
                    key: of_distances(kinds.c2p, "pos_key", "key"),
                    query: of_distances(kinds.p2c, "pos_query", "query"),
                }),
                ..Attention::new(self.num_attention_heads, head, products.map(of_attention))
            },
            feed_forward: FeedForward::Plain {
                up: linear("intermediate.dense", hidden, inner),
                activation,
                down: linear("output.dense", inner, hidden),
            },
            norms: Norms::Post {
                attention: norm("attention.output"),
                feed_forward: norm("output"),
            },
        }
    }
}
