//! DistilBERT: BERT without token types, with names and keys of its own.

use serde::Deserialize;

use super::{CONFIG, Family, activation, at_least_one, classifiers, head_size, layer_count};
use crate::architecture::{
    Activation, Architecture, Attention, Counting, FeedForward, Layer, Linear, Norm, Norms,
    TensorRef, TokenEmbedding,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["distilbert"],
    classes: &[],
    describe,
    classifiers: classifiers::PRE_CLASSIFIER,
    text: None,
};

/// Added to the variance of every norm; no key says otherwise.
const EPS: f32 = 1e-12;

/// The keys of config.json. Positions that began as sines are stored as others are.
#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    max_position_embeddings: usize,
    #[serde(default = "gelu")]
    activation: String,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let config: Config = json.required(CONFIG)?;
    at_least_one(
        json,
        &[
            ("vocab_size", config.vocab_size),
            ("dim", config.dim),
            ("n_heads", config.n_heads),
            ("hidden_dim", config.hidden_dim),
            ("max_position_embeddings", config.max_position_embeddings),
        ],
    )?;
    layer_count(json, "n_layers", config.n_layers)?;
    let activation = activation(json, "activation", &config.activation)?;
    let head_size = head_size(json, ("dim", config.dim), ("n_heads", config.n_heads))?;
    let layers = (0..config.n_layers).map(|index| config.layer(index, head_size, activation));
    let embedding = config.embedding();
    Ok(Architecture {
        prefixes: &["distilbert."],
        hidden: config.dim,
        max_tokens: embedding.max_tokens(),
        embedding: embedding.into(),
        position_bias: None,
        relative: None,
        convolution: None,
        layers: layers.collect(),
        final_norm: None,
    })
}

impl Config {
    fn embedding(&self) -> TokenEmbedding {
        let table = |name: &str, rows: usize| {
            let name = format!("embeddings.{name}_embeddings.weight");
            TensorRef::new(name, &[rows, self.dim])
        };
        TokenEmbedding {
            positions: Some(table("position", self.max_position_embeddings)),
            counting: Counting::All,
            norm: Some(Norm::layer("embeddings.LayerNorm", self.dim, EPS)),
            ..TokenEmbedding::of_words(table("word", self.vocab_size))
        }
    }

    fn layer(&self, index: usize, head_size: usize, activation: Activation) -> Layer {
        let (dim, inner) = (self.dim, self.hidden_dim);
        let linear = |name: &str, inputs: usize, outputs: usize| {
            Linear::new(
                &format!("transformer.layer.{index}.{name}"),
                inputs,
                outputs,
            )
        };
        let norm = |name: &str| Norm::layer(&format!("transformer.layer.{index}.{name}"), dim, EPS);
        Layer {
            attention: Attention::new(
                self.n_heads,
                head_size,
                ["q", "k", "v", "out"]
                    .map(|name| linear(&format!("attention.{name}_lin"), dim, dim)),
            ),
            feed_forward: FeedForward::Plain {
                up: linear("ffn.lin1", dim, inner),
                activation,
                down: linear("ffn.lin2", inner, dim),
            },
            norms: Norms::Post {
                attention: norm("sa_layer_norm"),
                feed_forward: norm("output_layer_norm"),
            },
        }
    }
}
