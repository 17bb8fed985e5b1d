//! The head of a language model, which gives each word of the vocabulary a logit to come next.

use serde::Deserialize;

use super::{CONFIG, refuse};
use crate::architecture::{Architecture, Linear, Scope, TensorRef, TokenEmbedding};
use crate::error::LoadError;
use crate::source::JsonFiles;

/// The families that have it, all by the name `lm_head`.
const MODEL_TYPES: [&str; 5] = ["qwen2", "qwen3", "llama", "mistral", "gemma3_text"];

#[derive(Deserialize)]
struct Config {
    model_type: String,
    tie_word_embeddings: Option<bool>,
    final_logit_softcapping: Option<f64>,
}

/// Returns the product that gives one word's logit. `is_stored` tells whether the weights have a
/// tensor: the head has a weight of its own, or that of the table of words.
///
/// # Errors
/// A family without such a head, and a value that the head does not support.
pub(crate) fn next_word(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
    is_stored: impl Fn(&TensorRef) -> bool,
    word: u32,
) -> Result<Linear, LoadError> {
    let config: Config = json.required(CONFIG)?;
    if !MODEL_TYPES.contains(&config.model_type.as_str()) {
        let supported = format!("{} (with a head of the next word)", MODEL_TYPES.join(", "));
        return Err(refuse(json, "model_type", &config.model_type, &supported));
    }
    if let Some(softcap) = config.final_logit_softcapping {
        let found = softcap.to_string();
        return Err(refuse(json, "final_logit_softcapping", &found, "null"));
    }
    let Some(TokenEmbedding { words, .. }) = architecture.embedding.tokens() else {
        return Err(json.unsupported(CONFIG, "it is a model of images, which has no words"));
    };
    let own = TensorRef::new("lm_head.weight", &[words.len(), words.row_size()]);
    let own = own.in_scope(Scope::Model);
    // One that should be there and is not is missed where it is read.
    let has_own = is_stored(&own) || config.tie_word_embeddings == Some(false);
    let weight = if has_own { own } else { words.clone() };
    let row = word as usize;
    Ok(Linear {
        weight: weight.with_rows(row..row + 1),
        bias: None,
    })
}
