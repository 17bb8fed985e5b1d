//! The configuration of a model of images.

use super::modules::{self, Vectors};
use super::{Classes, ModelConfig};
use crate::architecture::Head;
use crate::error::LoadError;
use crate::family::{self, images};
use crate::source::JsonFiles;
use crate::tokenizer::TruncationSide;

impl ModelConfig {
    /// Reads the JSON files of a model of images. What is about texts is as in a
    /// model without such files.
    pub(crate) fn read_images(json: &JsonFiles<'_>) -> Result<Self, LoadError> {
        let architecture = images::describe(json)?;
        let Classes { architectures } = json.required(family::CONFIG)?;
        Ok(Self {
            max_tokens: architecture.max_tokens,
            architecture,
            text_rows: Default::default(),
            head: Head::tokens(),
            truncation_side: TruncationSide::Right,
            prompts: Default::default(),
            pools_prompt: true,
            takes_token_types: false,
            classes: architectures.unwrap_or_default(),
            sparse: None,
            has_pooling: false,
            chat: None,
            logit_score: None,
            token_vectors: None,
        })
    }
}

/// Returns the head of a family with the modules of modules.json after it, if there are any.
pub(crate) fn with_modules(
    json: &JsonFiles<'_>,
    hidden: usize,
    own: Head,
) -> Result<Head, LoadError> {
    let modules = modules::read(json, hidden, Vectors::OfText, Some(own))?;
    Ok(modules.head)
}
