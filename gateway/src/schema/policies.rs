//! Schemas of `retry`, `hedge` and `cache` of a node.

use motet_config::schema::{duration, object, percent, size};
use motet_runtime::status::code_name;
use serde_json::{Value, json};

use crate::policy::settings::{Hedge, Retry};

pub(super) fn retry() -> Value {
    object(json!({
        "max": count(Retry::MAX_LIMIT, Retry::MAX_DEFAULT),
        "codes": {
            "type": "array",
            "minItems": 1,
            "items": { "enum": Retry::CODES.map(code_name) },
        },
        "backoff": duration(),
    }))
}

pub(super) fn hedge() -> Value {
    object(json!({
        "after": {
            "type": "string",
            "description": "such as 50ms, or a percentile of the latest calls such as p95",
        },
        "max": count(Hedge::MAX_LIMIT, Hedge::MAX_DEFAULT),
        "budget": percent(),
    }))
}

/// Returns the schema of a number from 1 to `limit`.
fn count(limit: u32, default: u32) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": limit, "default": default })
}

pub(super) fn cache() -> Value {
    object(json!({ "ttl": duration(), "max": size() }))
}
