//! The files that make a transformer a sentence encoder: modules.json, the pooling module,
//! sentence_bert_config.json.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::architecture::Pooling;
use crate::error::LoadError;
use crate::source::JsonFiles;

const MODULES: &str = "modules.json";
const LIMITS: &str = "sentence_bert_config.json";

/// Settings of the sentence-transformers files, beside those of the transformer.
pub(super) struct SentenceConfig {
    pub(super) pooling: Pooling,
    pub(super) normalize: bool,
    pub(super) max_tokens: Option<usize>,
    /// Whether there is a pooling module: the files say that the model gives vectors.
    pub(super) has_pooling: bool,
}

#[derive(Deserialize)]
struct ModuleEntry {
    path: String,
    r#type: String,
}

#[derive(Default, Deserialize)]
struct Limits {
    max_seq_length: Option<usize>,
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
        };
        for module in json
            .optional::<Vec<ModuleEntry>>(MODULES)?
            .unwrap_or_default()
        {
            match module.r#type.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Pooling" => {
                    config.pooling = read_pooling(json, &format!("{}/config.json", module.path))?;
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
        config.max_tokens = json
            .optional::<Limits>(LIMITS)?
            .unwrap_or_default()
            .max_seq_length;
        // A row holds its special tokens and at least one of the text's.
        const LEAST: usize = 3;
        match config.max_tokens {
            Some(limit) if limit < LEAST => Err(json.unsupported(
                LIMITS,
                format!("max_seq_length is {limit}; it must be at least {LEAST}"),
            )),
            _ => Ok(config),
        }
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
