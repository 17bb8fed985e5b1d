//! The files that make a transformer a sentence encoder: modules.json, the pooling module,
//! sentence_bert_config.json, and tokenizer_config.json, whose limit is theirs too.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::architecture::Pooling;
use crate::error::LoadError;
use crate::source::JsonFiles;
use crate::tokenizer::TruncationSide;

const MODULES: &str = "modules.json";
const LIMITS: &str = "sentence_bert_config.json";
const TOKENIZER: &str = "tokenizer_config.json";

/// Settings of the sentence-transformers files, beside those of the transformer.
pub(super) struct SentenceConfig {
    pub(super) pooling: Pooling,
    pub(super) normalize: bool,
    /// Least of the limits that the files set, if any does.
    pub(super) max_tokens: Option<usize>,
    /// `true` with a pooling module: the files say that the model gives vectors.
    pub(super) has_pooling: bool,
    /// `false` if the tokens of a prompt are left out of pooling.
    pub(super) pools_prompt: bool,
    /// Side at which texts are cut.
    pub(super) truncation_side: TruncationSide,
}

#[derive(Deserialize)]
struct ModuleEntry {
    path: String,
    r#type: String,
}

#[derive(Deserialize)]
struct PromptPooling {
    include_prompt: Option<bool>,
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

impl SentenceConfig {
    /// Reads the settings. A directory without modules.json is a plain transformer: mean pooling,
    /// not normalised, as sentence-transformers takes it.
    pub(super) fn read(json: &JsonFiles<'_>) -> Result<Self, LoadError> {
        let mut config = Self {
            pooling: Pooling::Mean,
            normalize: false,
            max_tokens: None,
            has_pooling: false,
            pools_prompt: true,
            truncation_side: TruncationSide::Right,
        };
        for module in json
            .optional::<Vec<ModuleEntry>>(MODULES)?
            .unwrap_or_default()
        {
            match module.r#type.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Pooling" => {
                    let file = format!("{}/config.json", module.path);
                    config.pooling = read_pooling(json, &file)?;
                    let PromptPooling { include_prompt } = json.required(&file)?;
                    config.pools_prompt = include_prompt.unwrap_or(true);
                    config.has_pooling = true;
                }
                "Normalize" => config.normalize = true,
                _ => {
                    let reason = format!(
                        "module `{}` is not supported; supported: Transformer, Pooling, Normalize",
                        module.r#type
                    );
                    return Err(json.unsupported(MODULES, reason));
                }
            }
        }
        let Limits { max_seq_length } = json.optional(LIMITS)?.unwrap_or_default();
        let TokenizerLimits {
            model_max_length,
            truncation_side,
        } = json.optional(TOKENIZER)?.unwrap_or_default();
        config.truncation_side = match truncation_side.as_deref() {
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
                limit => config.max_tokens = config.max_tokens.into_iter().chain(limit).min(),
            }
        }
        Ok(config)
    }
}

/// Reads either spelling: one flag `pooling_mode_*` for each mode, or newer `pooling_mode` with a
/// name.
fn read_pooling(json: &JsonFiles<'_>, file: &str) -> Result<Pooling, LoadError> {
    let keys: Map<String, Value> = json.required(file)?;
    let mut modes: Vec<&str> = keys
        .iter()
        .filter(|(_, on)| **on == Value::Bool(true))
        .filter_map(|(key, _)| key.strip_prefix("pooling_mode_"))
        .collect();
    modes.extend(keys.get("pooling_mode").and_then(Value::as_str));
    match modes[..] {
        ["mean_tokens" | "mean"] => Ok(Pooling::Mean),
        ["cls_token" | "cls"] => Ok(Pooling::Cls),
        [] => Err(json.unsupported(file, "no pooling mode is set; supported: mean, cls")),
        [..] => Err(json.unsupported(
            file,
            format!(
                "pooling mode {} is not supported; supported: mean, cls",
                modes.join(" + ")
            ),
        )),
    }
}
