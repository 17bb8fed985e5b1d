//! `switch`: its keys in the JSON schema.

use motet_config::schema::object;
use serde_json::{Value, json};

use crate::schema::body;

/// Returns the schema of the key.
pub(crate) fn properties() -> Value {
    json!({
        "switch": {
            "type": "array",
            "minItems": 1,
            "items": object(json!({
                "when": { "$ref": "#/$defs/condition" },
                "do": body(),
                "default": body(),
            })),
        },
    })
}
