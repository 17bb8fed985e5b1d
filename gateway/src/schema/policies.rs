//! `retry`, `hedge` and `cache` of a node.

use motet_config::schema::{duration, object, percent, size};
use motet_runtime::status::code_name;
use serde_json::{Value, json};

use crate::policy::settings::{Hedge, Retry};

pub(super) fn retry() -> Value {
    object(json!({
        "max": { "type": "integer", "minimum": 1, "maximum": Retry::MAX_LIMIT, "default": Retry::MAX_DEFAULT },
        "codes": { "type": "array", "minItems": 1, "items": { "enum": Retry::CODES.map(code_name) } },
        "backoff": duration(),
    }))
}

pub(super) fn hedge() -> Value {
    object(json!({
        "after": { "type": "string", "description": "such as 50ms, or a percentile of the latest calls such as p95" },
        "max": { "type": "integer", "minimum": 1, "maximum": Hedge::MAX_LIMIT, "default": Hedge::MAX_DEFAULT },
        "budget": percent(),
    }))
}

pub(super) fn cache() -> Value {
    object(json!({ "ttl": duration(), "max": size() }))
}
