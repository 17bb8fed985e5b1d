//! `grpc`: its keys in the JSON schema.

use serde_json::{Value, json};

use super::syntax::MESSAGES_MAX;
use crate::syntax::OUTPUTS_MAX;

/// Returns the schema of the key and of those beside it.
pub(crate) fn properties() -> Value {
    json!({
        "grpc": { "type": "string", "pattern": "^/?[A-Za-z0-9_.]+/[A-Za-z0-9_]+$" },
        "endpoint": {
            "type": "string",
            "description": "for `grpc`: one of `endpoints`, or grpc://host:port",
        },
        "out": {
            "type": "object",
            "description": "for `grpc`: outputs by name, each with a path of fields of the answer",
            "additionalProperties": { "type": "string" },
            "maxProperties": OUTPUTS_MAX,
        },
        "max_items": {
            "type": "integer",
            "minimum": 1,
            "maximum": MESSAGES_MAX,
            "description": "for `grpc`: the most messages of an answer that is a stream",
        },
    })
}
