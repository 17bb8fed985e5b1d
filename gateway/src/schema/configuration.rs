//! `server` and `models` of a configuration.

use motet_runtime::config::{
    BATCHER_KEYS, CONCURRENT_REQUESTS_MAX, CONCURRENT_STREAMS_MAX, CONNECTIONS_MAX, TOKENS_MAX,
    Task,
};
use serde_json::{Map, Value, json};

use super::{duration, object, size, url};

pub(super) fn server() -> Value {
    let address = json!({ "type": "string", "description": "such as 127.0.0.1:50051; port 0 picks a free one" });
    object(json!({
        "grpc": address,
        "http": { "type": "string", "description": "such as 127.0.0.1:8080, or off" },
        "grace": duration(),
        "read_timeout": duration(),
        "max_message_bytes": size(),
        "max_concurrent_requests": { "type": "integer", "minimum": 1, "maximum": CONCURRENT_REQUESTS_MAX },
        "max_connections": { "type": "integer", "minimum": 1, "maximum": CONNECTIONS_MAX },
        "max_concurrent_streams": { "type": "integer", "minimum": 1, "maximum": CONCURRENT_STREAMS_MAX },
    }))
}

pub(super) fn models() -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": {
            "pattern": "^[a-z][a-z0-9_-]{0,62}(@[A-Za-z0-9][A-Za-z0-9._-]{0,31})?$",
        },
        "additionalProperties": model(),
    })
}

fn model() -> Value {
    let batcher: Map<String, Value> = BATCHER_KEYS
        .iter()
        .map(|key| (key.key.to_owned(), json!({ "description": key.about })))
        .collect();
    let mut model = object(json!({
        "task": { "enum": Task::ALL.map(|(word, _)| word) },
        "source": { "type": "string", "description": "builtin:all-minilm-l6-v2, or file:PATH of a folder" },
        "tokenizer": { "type": "string", "description": "for preprocess: a model of this file, or a source" },
        "endpoint": url(),
        "device": { "type": "string", "pattern": "^(auto|cpu|cuda(:[0-9]+)?|metal)$" },
        "dtype": { "enum": ["f32", "f16", "bf16", "int8"] },
        "threads": { "type": "integer", "minimum": 1 },
        "max_tokens": { "type": "integer", "minimum": 1, "maximum": TOKENS_MAX },
        "pooling": { "enum": ["mean", "cls"] },
        "normalize": { "type": "boolean" },
        "batcher": object(Value::Object(batcher)),
    }));
    model["anyOf"] = json!([{ "required": ["task"] }, { "required": ["endpoint"] }]);
    model
}
