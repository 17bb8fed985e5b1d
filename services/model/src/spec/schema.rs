//! The JSON schema of the key `models`.

use motet_config::keys;
use motet_config::schema::object;
use motet_models::{Aggregation, Pooling};
use motet_runtime::config::ErrorWords;
use serde_json::{Value, json};

use super::batcher::KEYS as BATCHER_KEYS;
use super::model::{MAX_TOKENS, THREADS};
use crate::task::{PROMPT_BYTES_MAX, TASKS, Truncate};

/// Returns the JSON schema of the key `models`, for editors.
pub fn schema() -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": {
            "pattern": "^[a-z][a-z0-9_-]{0,62}(@[A-Za-z0-9][A-Za-z0-9._-]{0,31})?$",
        },
        "additionalProperties": model(),
    })
}

fn model() -> Value {
    let tasks: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
    let combined = TASKS.iter().filter(|task| task.has_room_for_others());
    let combined: Vec<&str> = combined.map(|task| task.name).collect();
    let mut model = object(json!({
        "task": { "enum": tasks },
        "tasks": {
            "type": "array",
            "items": { "enum": combined },
            "minItems": 2,
            "uniqueItems": true,
            "description": "several tasks that share the computation of the layers",
        },
        "source": {
            "type": "string",
            "description": "builtin:all-minilm-l6-v2, or file:PATH of a folder",
        },
        "tokenizer": {
            "type": "string",
            "description": "for preprocess: a model of this file, or a source",
        },
        "endpoint": { "type": "string", "pattern": "^grpc://" },
        "errors": {
            "enum": ErrorWords::WORDS.map(|(word, _)| word),
            "description": "for endpoint: whether callers get the words of its errors",
        },
        "device": { "type": "string", "pattern": "^(auto|cpu|cuda(:[0-9]+)?|metal)$" },
        "engine": { "enum": ["auto", "packed", "candle"] },
        "dtype": { "enum": ["f32", "f16", "bf16", "int8"] },
        "threads": { "type": "integer", "minimum": THREADS.start(), "maximum": THREADS.end() },
        "max_tokens": {
            "type": "integer",
            "minimum": MAX_TOKENS.start(),
            "maximum": MAX_TOKENS.end(),
        },
        "truncate": { "enum": Truncate::WORDS.map(|(word, _)| word) },
        "prompt_name": {
            "type": "string",
            "description": "a prompt of config_sentence_transformers.json",
        },
        "prompt": { "type": "string", "maxLength": PROMPT_BYTES_MAX },
        "pooling": { "enum": Pooling::NAMES.map(|(word, _)| word) },
        "normalize": { "type": "boolean" },
        "label": {
            "type": "string",
            "description": "for rerank: the label that says that a text is relevant",
        },
        "pair": {
            "type": "boolean",
            "description": "for classify: whether each text comes with a second one, `pair`",
        },
        "aggregation": { "enum": Aggregation::WORDS.map(|(word, _)| word) },
        "hypothesis_template": {
            "type": "string",
            "pattern": "\\{\\}",
            "maxLength": PROMPT_BYTES_MAX,
            "description": "for classify_zero_shot: a text with `{}` where the label goes",
        },
        "multi_label": {
            "type": "boolean",
            "description": "for classify_zero_shot: whether each label is scored by itself",
        },
        "batcher": keys::schema(&BATCHER_KEYS),
    }));
    model["anyOf"] = json!([
        { "required": ["task"] },
        { "required": ["tasks"] },
        { "required": ["endpoint"] },
    ]);
    model
}
