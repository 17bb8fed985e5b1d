//! config.json of a BERT encoder.

use serde::Deserialize;

use super::JsonFiles;
use crate::error::LoadError;

const FILE: &str = "config.json";

/// Sizes of a BERT encoder. All are at least 1, and `hidden_size` is a multiple of
/// `num_attention_heads`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BertConfig {
    /// Number of token ids; rows of the word embedding table.
    pub vocab_size: usize,
    /// Length of a token's vector.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads in each layer.
    pub num_attention_heads: usize,
    /// Length of the vector inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of positions; no row is longer.
    pub max_position_embeddings: usize,
    /// Number of token types; rows of the token type table.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Added to the variance in layer norms.
    #[serde(default = "tiny")]
    pub layer_norm_eps: f32,
}

fn two() -> usize {
    2
}

fn tiny() -> f32 {
    1e-12
}

/// The keys that decide whether the model is one that this crate computes.
#[derive(Deserialize)]
struct Architecture {
    model_type: String,
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

impl BertConfig {
    pub(super) fn read(json: &JsonFiles<'_>) -> Result<Self, LoadError> {
        // The architecture comes first: another family lacks keys of this one, and that would be a
        // misleading message.
        json.required::<Architecture>(FILE)?.check(json)?;
        let config: Self = json.required(FILE)?;
        config
            .check()
            .map_err(|reason| json.unsupported(FILE, reason))?;
        Ok(config)
    }

    /// Length of one attention head's vectors.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    fn check(&self) -> Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        if let Some((key, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(format!("{key} is 0; it must be at least 1"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "hidden_size {} is not a multiple of num_attention_heads {}",
                self.hidden_size, self.num_attention_heads
            ));
        }
        Ok(())
    }
}

impl Architecture {
    fn check(&self, json: &JsonFiles<'_>) -> Result<(), LoadError> {
        let refuse = |key: &str, found: &str, supported: &str| {
            Err(json.unsupported(
                FILE,
                format!("{key} `{found}` is not supported; supported: {supported}"),
            ))
        };
        if self.model_type != "bert" {
            return refuse("model_type", &self.model_type, "bert");
        }
        if self.is_decoder {
            return refuse("is_decoder", "true", "false (an encoder)");
        }
        match self.hidden_act.as_deref() {
            None | Some("gelu") => {}
            Some(other) => return refuse("hidden_act", other, "gelu"),
        }
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => Ok(()),
            Some(other) => refuse("position_embedding_type", other, "absolute"),
        }
    }
}
