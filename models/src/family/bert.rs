//! BERT: learned positions, two token types, norms after the sums, exact GELU.

use serde::Deserialize;

use super::{
    CONFIG, Family, activation, at_least_one, classifiers, head_size, layer_count, refuse,
};
use crate::architecture::{
    Architecture, Attention, Counting, FeedForward, Layer, Linear, Norm, Norms, TensorRef,
    TokenEmbedding,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["bert"],
    classes: &[],
    describe,
    classifiers: classifiers::POOLER,
    text: None,
};

/// The keys of config.json, with the defaults of transformers for those that files leave out.
#[derive(Deserialize)]
pub(super) struct Config {
    vocab_size: usize,
    pub(super) hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) max_position_embeddings: usize,
    #[serde(default = "two_types")]
    type_vocab_size: usize,
    #[serde(default = "tiny_eps")]
    pub(super) layer_norm_eps: f32,
    #[serde(default = "gelu")]
    hidden_act: String,
    pub(super) position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

fn two_types() -> usize {
    2
}

fn tiny_eps() -> f32 {
    1e-12
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let config: Config = json.required(CONFIG)?;
    let layers = config.layers(json)?;
    Ok(config.encoder(&["bert."], config.embedding(config.hidden_size), layers))
}

impl Config {
    /// Returns the encoder of this embedding and these layers.
    pub(super) fn encoder(
        &self,
        prefixes: &'static [&'static str],
        embedding: TokenEmbedding,
        layers: Vec<Layer>,
    ) -> Architecture {
        Architecture {
            prefixes,
            hidden: self.hidden_size,
            max_tokens: embedding.max_tokens(),
            embedding: embedding.into(),
            position_bias: None,
            relative: None,
            convolution: None,
            layers,
            final_norm: None,
        }
    }

    /// Returns the tables of vectors of `size` values and their norm, with all rows of each table.
    pub(super) fn embedding(&self, size: usize) -> TokenEmbedding {
        let table = |name: &str, rows: usize| {
            let name = format!("embeddings.{name}_embeddings.weight");
            TensorRef::new(name, &[rows, size])
        };
        TokenEmbedding {
            positions: Some(table("position", self.max_position_embeddings)),
            counting: Counting::All,
            types: Some(table("token_type", self.type_vocab_size)),
            norm: Some(Norm::layer(
                "embeddings.LayerNorm",
                size,
                self.layer_norm_eps,
            )),
            ..TokenEmbedding::of_words(table("word", self.vocab_size))
        }
    }

    /// Checks the configuration, and returns the layers.
    ///
    /// # Errors
    /// A value that is not supported, or sizes that do not go together.
    pub(super) fn layers(&self, json: &JsonFiles<'_>) -> Result<Vec<Layer>, LoadError> {
        if self.is_decoder {
            return Err(refuse(json, "is_decoder", "true", "false (an encoder)"));
        }
        let activation = activation(json, "hidden_act", &self.hidden_act)?;
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(other) => {
                let supported = "absolute (alibi where auto_map names JinaBertModel)";
                return Err(refuse(json, "position_embedding_type", other, supported));
            }
        }
        at_least_one(
            json,
            &[
                ("vocab_size", self.vocab_size),
                ("hidden_size", self.hidden_size),
                ("num_attention_heads", self.num_attention_heads),
                ("intermediate_size", self.intermediate_size),
                ("max_position_embeddings", self.max_position_embeddings),
                ("type_vocab_size", self.type_vocab_size),
            ],
        )?;
        layer_count(json, "num_hidden_layers", self.num_hidden_layers)?;
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let heads = self.num_attention_heads;
        let head_size = head_size(
            json,
            ("hidden_size", hidden),
            ("num_attention_heads", heads),
        )?;
        let layer = |index: usize| {
            let linear = |name: &str, inputs: usize, outputs: usize| {
                Linear::new(&format!("encoder.layer.{index}.{name}"), inputs, outputs)
            };
            let norm = |name: &str| {
                let name = format!("encoder.layer.{index}.{name}");
                Norm::layer(&name, hidden, self.layer_norm_eps)
            };
            Layer {
                attention: Attention::new(
                    heads,
                    head_size,
                    ["self.query", "self.key", "self.value", "output.dense"]
                        .map(|name| linear(&format!("attention.{name}"), hidden, hidden)),
                ),
                feed_forward: FeedForward::Plain {
                    up: linear("intermediate.dense", hidden, inner),
                    activation,
                    down: linear("output.dense", inner, hidden),
                },
                norms: Norms::Post {
                    attention: norm("attention.output.LayerNorm"),
                    feed_forward: norm("output.LayerNorm"),
                },
            }
        };
        Ok((0..self.num_hidden_layers).map(layer).collect())
    }
}
