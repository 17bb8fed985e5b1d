//! Limits and side of truncation: sentence_bert_config.json of sentence-transformers, and
//! tokenizer_config.json.

use serde::Deserialize;

use crate::error::LoadError;
use crate::source::JsonFiles;
use crate::tokenizer::TruncationSide;

const LIMITS: &str = "sentence_bert_config.json";
const TOKENIZER: &str = "tokenizer_config.json";

/// How texts are cut.
pub(super) struct Truncation {
    /// Least of the limits that the files set, if any does.
    pub(super) max_tokens: Option<usize>,
    /// Side at which texts are cut.
    pub(super) side: TruncationSide,
}

#[derive(Default, Deserialize)]
struct Limits {
    max_seq_length: Option<usize>,
}

/// The limit of the tokenizer, which newer versions write instead of the other, 1e30 if there is
/// none; and which side is cut.
#[derive(Default, Deserialize)]
struct TokenizerLimits {
    model_max_length: Option<f64>,
    truncation_side: Option<String>,
}

impl Truncation {
    /// Reads the settings.
    pub(super) fn read(json: &JsonFiles<'_>) -> Result<Self, LoadError> {
        let Limits { max_seq_length } = json.optional(LIMITS)?.unwrap_or_default();
        let TokenizerLimits {
            model_max_length,
            truncation_side,
        } = json.optional(TOKENIZER)?.unwrap_or_default();
        let side = match truncation_side.as_deref() {
            None | Some("right") => TruncationSide::Right,
            Some("left") => TruncationSide::Left,
            Some(other) => {
                let reason =
                    format!("truncation_side `{other}` is not supported; supported: right, left");
                return Err(json.unsupported(TOKENIZER, reason));
            }
        };
        // A limit that is no number of tokens becomes the nearest one.
        let model_max_length = model_max_length.map(|limit| limit as usize);
        let mut max_tokens: Option<usize> = None;
        for (file, key, limit) in [
            (LIMITS, "max_seq_length", max_seq_length),
            (TOKENIZER, "model_max_length", model_max_length),
        ] {
            // A row holds its special tokens and at least one of the text's.
            const LEAST: usize = 3;
            match limit {
                Some(limit) if limit < LEAST => {
                    let reason = format!("{key} is {limit}; it must be at least {LEAST}");
                    return Err(json.unsupported(file, reason));
                }
                limit => max_tokens = max_tokens.into_iter().chain(limit).min(),
            }
        }
        Ok(Self { max_tokens, side })
    }
}
