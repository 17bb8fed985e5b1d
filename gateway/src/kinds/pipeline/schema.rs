//! `pipeline`: its keys in the JSON schema.

use serde_json::{Value, json};

/// Returns the schema of the key.
pub(crate) fn properties() -> Value {
    json!({ "pipeline": { "type": "string" } })
}
