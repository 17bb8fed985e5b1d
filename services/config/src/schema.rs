//! Fragments of JSON schemas, which editors use for completion.

use serde_json::{Value, json};

/// Returns the schema of a map with these properties, all optional, and no others.
pub fn object(properties: Value) -> Value {
    object_with(&[], properties)
}

/// Returns the schema of a map with these properties and no others.
pub fn object_with(required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// Returns the schema of a duration.
pub fn duration() -> Value {
    json!({ "type": "string", "description": "a duration such as 200ms, 2s or 1m" })
}

/// Returns the schema of a number of bytes.
pub fn size() -> Value {
    json!({
        "type": ["integer", "string"],
        "description": "a number of bytes, or a size such as 64MiB",
    })
}

/// Returns the schema of a percentage.
pub fn percent() -> Value {
    json!({ "type": "string", "pattern": "^[0-9.]+ *%$", "description": "such as 10%" })
}
