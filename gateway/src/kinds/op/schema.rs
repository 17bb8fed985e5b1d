//! `op`: its keys in the JSON schema.

use serde_json::{Value, json};

use crate::ops::registry;

/// Returns the schema of the key.
pub(crate) fn properties() -> Value {
    let names: Vec<&str> = registry::names().collect();
    json!({ "op": { "enum": names } })
}
