//! `fallback`: its keys in the JSON schema.

use serde_json::{Value, json};

use crate::schema::arms;

/// Returns the schema of the key.
pub(crate) fn properties() -> Value {
    json!({ "fallback": arms(2) })
}
