//! Texts as messages of a chat, which a model's own template makes one text of
//! (sentence_bert_config.json of sentence-transformers).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::modules;
use crate::error::LoadError;
use crate::family::CONFIG;
use crate::source::JsonFiles;

const FILE: &str = "sentence_bert_config.json";
/// Key of texts that become messages.
const MESSAGE: &str = "message";

/// Making of a chat's messages from texts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChatSettings {
    /// `true` if the files say so; else the weights of a language model without such files, whose
    /// template may have a place for a query and a document.
    pub(crate) is_stated: bool,
    /// `true` if what a message says is a list with one text, `false` if it is the text; `None` if
    /// the template tells.
    pub(crate) is_structured: Option<bool>,
    /// Values that the template gets, such as `add_generation_prompt`.
    pub(crate) variables: Map<String, Value>,
}

#[derive(Default, Deserialize)]
struct Transformer {
    transformer_task: Option<String>,
    modality_config: Option<BTreeMap<String, Value>>,
    processing_kwargs: Option<BTreeMap<String, Map<String, Value>>>,
}

/// Keys of `processing_kwargs.chat_template` that are no values for the template.
const NOT_FOR_TEMPLATES: [&str; 10] = [
    "truncation",
    "max_length",
    "padding",
    "return_tensors",
    "restore_suffix",
    "chat_template",
    "continue_final_message",
    "sanitize_control_tokens",
    "tools",
    "documents",
];

impl ChatSettings {
    /// Reads the settings of a model whose texts are messages, if they are.
    ///
    /// # Errors
    /// Messages of a model that gives vectors, and settings that are not supported.
    pub(super) fn read(
        json: &JsonFiles<'_>,
        classes: &[String],
        has_pooling: bool,
    ) -> Result<Option<Self>, LoadError> {
        let file: Transformer = json.optional(FILE)?.unwrap_or_default();
        let mut processing = file.processing_kwargs.unwrap_or_default();
        let variables = processing.remove("chat_template").unwrap_or_default();
        for (group, keys) in &processing {
            // Settings of images, of sounds and of padding say nothing of a text.
            let is_of_text = ["text", "common"].contains(&group.as_str());
            let mut keys = keys.keys().filter(|key| is_of_text && *key != "padding");
            if let Some(key) = keys.next() {
                let reason = format!(
                    "processing_kwargs.{group}.{key} is not supported; supported: chat_template"
                );
                return Err(json.unsupported(FILE, reason));
            }
        }
        let message = file.modality_config.unwrap_or_default().remove(MESSAGE);
        let Some(message) = message else {
            let is_language_model = classes.iter().any(|class| class.ends_with("ForCausalLM"));
            let is_plain = is_language_model && !has_pooling && !modules::are_there(json)?;
            return Ok(is_plain.then(|| Self {
                is_stated: false,
                is_structured: None,
                variables: Map::new(),
            }));
        };
        let task = file
            .transformer_task
            .as_deref()
            .unwrap_or("feature-extraction");
        if !["sequence-classification", "text-generation"].contains(&task) {
            let reason = format!(
                "modality_config has `{MESSAGE}` for transformer_task `{task}`; texts as messages \
                 of a chat are supported for sequence-classification and text-generation"
            );
            return Err(json.unsupported(FILE, reason));
        }
        if let Some(key) = variables
            .keys()
            .find(|key| NOT_FOR_TEMPLATES.contains(&key.as_str()))
        {
            let reason = format!(
                "processing_kwargs.chat_template.{key} is not supported; supported: values for the \
                 template, such as add_generation_prompt"
            );
            return Err(json.unsupported(FILE, reason));
        }
        let is_structured = match message["format"].as_str() {
            None | Some("auto") => None,
            Some("flat") => Some(false),
            Some("structured") => Some(true),
            Some(other) => {
                let reason = format!(
                    "modality_config.{MESSAGE}.format `{other}` is not supported; supported: flat, \
                     structured"
                );
                return Err(json.unsupported(FILE, reason));
            }
        };
        Ok(Some(Self {
            is_stated: true,
            is_structured,
            variables,
        }))
    }
}

/// The tokens whose logits make the score of a text: the module LogitScore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogitScore {
    /// The token that says that a text is relevant.
    pub(crate) yes: u32,
    /// The token that says that it is not, whose logit is subtracted; `None` if nothing is.
    pub(crate) no: Option<u32>,
}

impl LogitScore {
    /// Reads the settings of the module in `file`, for a vocabulary of so many tokens.
    ///
    /// # Errors
    /// Tokens that the vocabulary has not, and another input than the logits.
    pub(super) fn read(
        json: &JsonFiles<'_>,
        file: &str,
        vocabulary: usize,
    ) -> Result<Self, LoadError> {
        #[derive(Deserialize)]
        struct Config {
            true_token_id: u32,
            false_token_id: Option<u32>,
            module_input_name: Option<String>,
        }
        let config: Config = json.required(file)?;
        let supported = "causal_logits";
        if let Some(name) = config.module_input_name.filter(|name| name != supported) {
            let reason =
                format!("module_input_name `{name}` is not supported; supported: {supported}");
            return Err(json.unsupported(file, reason));
        }
        let tokens = [
            ("true_token_id", Some(config.true_token_id)),
            ("false_token_id", config.false_token_id),
        ];
        for (key, id) in tokens {
            if let Some(id) = id.filter(|id| *id as usize >= vocabulary) {
                let reason = format!(
                    "{key} is {id}, but the model's vocabulary (vocab_size in {CONFIG}) has \
                     {vocabulary} tokens"
                );
                return Err(json.unsupported(file, reason));
            }
        }
        Ok(Self {
            yes: config.true_token_id,
            no: config.false_token_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::json;

    use super::*;

    fn read(file: &Value, modules: bool, class: &str) -> Result<Option<ChatSettings>, String> {
        let model = "file:/model".parse().unwrap();
        let file = file.to_string().into_bytes();
        let json = JsonFiles {
            model: &model,
            shapes: &|| Ok(crate::source::Shapes::new()),
            read: &|name| {
                Ok(match name {
                    FILE => Some(Cow::Owned(file.clone())),
                    "modules.json" if modules => Some(Cow::Borrowed(&b"[]"[..])),
                    _ => None,
                })
            },
        };
        let read = ChatSettings::read(&json, &[class.to_owned()], false);
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn texts_are_messages_where_the_files_say_so() {
        let message = |format: &str| {
            json!({
                "transformer_task": "text-generation",
                "modality_config": { "text": {}, "message": { "format": format } },
                "processing_kwargs": { "chat_template": { "add_generation_prompt": true } },
            })
        };
        for (format, expected) in [
            ("flat", Some(false)),
            ("structured", Some(true)),
            ("auto", None),
        ] {
            let found = read(&message(format), true, "LlamaForCausalLM")
                .unwrap()
                .unwrap();
            assert_eq!(
                (found.is_stated, found.is_structured),
                (true, expected),
                "{format}"
            );
            assert_eq!(found.variables["add_generation_prompt"], true);
        }
        let text = json!({ "modality_config": { "text": {} } });
        assert_eq!(read(&text, true, "LlamaForCausalLM"), Ok(None));
        assert_eq!(read(&json!({}), false, "LlamaModel"), Ok(None));
        let plain = read(&json!({}), false, "LlamaForCausalLM")
            .unwrap()
            .unwrap();
        assert!(!plain.is_stated);
    }

    #[test]
    fn what_would_be_another_text_is_refused() {
        let message = json!({ "message": { "format": "flat" } });
        for (file, part) in [
            (
                json!({ "modality_config": message }),
                "modality_config has `message` for transformer_task `feature-extraction`",
            ),
            (
                json!({
                    "transformer_task": "text-generation",
                    "modality_config": { "message": { "format": "list" } },
                }),
                "modality_config.message.format `list`",
            ),
            (
                json!({ "processing_kwargs": { "text": { "max_length": 9 } } }),
                "processing_kwargs.text.max_length",
            ),
            (
                json!({
                    "transformer_task": "text-generation", "modality_config": message,
                    "processing_kwargs": { "chat_template": { "restore_suffix": false } },
                }),
                "processing_kwargs.chat_template.restore_suffix",
            ),
        ] {
            let error = read(&file, true, "X").unwrap_err();
            assert!(error.contains(part) && error.contains(FILE), "{error}");
        }
    }
}
