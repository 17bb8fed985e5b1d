//! `split`: its keys in the JSON schema.

use motet_config::schema::object_with;
use serde_json::{Value, json};

use crate::schema::body;

/// Returns the schema of the key.
pub(crate) fn properties() -> Value {
    json!({
        "split": object_with(&["arms"], json!({
            "sticky": { "$ref": "#/$defs/reference" },
            "arms": {
                "type": "array",
                "minItems": 1,
                "items": object_with(&["weight", "do"], json!({
                    "weight": { "type": "number", "minimum": 0 },
                    "do": body(),
                })),
            },
            "shadow": {
                "type": "array",
                "items": object_with(&["percent", "do"], json!({
                    "percent": { "type": "number", "minimum": 0, "maximum": 100 },
                    "do": body(),
                })),
            },
        })),
    })
}
