//! The configuration of a model, read from its JSON files without touching the weights.
//!
//! * `bert`: [`BertConfig`], the sizes of the transformer (config.json).
//! * `sentence`: pooling, normalisation and token limit (the files of sentence-transformers).

mod bert;
mod sentence;

use std::borrow::Cow;

use serde::de::DeserializeOwned;

pub use bert::BertConfig;
pub use sentence::Pooling;

use crate::error::LoadError;
use crate::source::Source;

/// The configuration of a model: all that is known before its weights are read.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The sizes of the transformer (config.json).
    pub encoder: BertConfig,
    /// How token vectors are pooled to one (1_Pooling/config.json; the mean without that file).
    pub pooling: Pooling,
    /// `true` if vectors are scaled to length 1 by default (a Normalize module in modules.json).
    pub normalize: bool,
    /// Maximum tokens of a row, special tokens included (sentence_bert_config.json, at most the
    /// number of positions).
    pub max_tokens: usize,
}

impl ModelConfig {
    /// Number of values of an embedding.
    pub fn hidden_size(&self) -> usize {
        self.encoder.hidden_size
    }

    /// Reads the JSON files through `read`, which returns the content of a file, or `None` if it
    /// does not exist.
    pub(crate) fn read(
        model: &Source,
        read: impl Fn(&str) -> Result<Option<Cow<'static, [u8]>>, LoadError>,
    ) -> Result<Self, LoadError> {
        let json = JsonFiles { model, read: &read };
        let encoder = BertConfig::read(&json)?;
        let sentence = sentence::SentenceConfig::read(&json)?;
        Ok(Self {
            pooling: sentence.pooling,
            normalize: sentence.normalize,
            max_tokens: sentence
                .max_tokens
                .unwrap_or(encoder.max_position_embeddings)
                .min(encoder.max_position_embeddings),
            encoder,
        })
    }
}

type ReadFile<'a> = dyn Fn(&str) -> Result<Option<Cow<'static, [u8]>>, LoadError> + 'a;

/// Typed access to the JSON files of one model, with errors that name the file.
struct JsonFiles<'a> {
    model: &'a Source,
    read: &'a ReadFile<'a>,
}

impl JsonFiles<'_> {
    fn required<T: DeserializeOwned>(&self, file: &str) -> Result<T, LoadError> {
        self.optional(file)?.ok_or_else(|| LoadError::FileMissing {
            model: self.model.clone(),
            file: file.to_owned(),
        })
    }

    fn optional<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, LoadError> {
        let Some(bytes) = (self.read)(file)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes).map_err(|cause| LoadError::BadJson {
            model: self.model.clone(),
            file: file.to_owned(),
            cause,
        })?;
        Ok(Some(value))
    }

    fn unsupported(&self, file: &str, reason: impl Into<String>) -> LoadError {
        LoadError::Unsupported {
            model: self.model.clone(),
            file: file.to_owned(),
            reason: reason.into(),
        }
    }
}
