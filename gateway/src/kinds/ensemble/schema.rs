//! `ensemble`: its keys in the JSON schema.

use motet_config::schema::{duration, object, object_with};
use serde_json::{Value, json};

use crate::schema::arms;

/// Returns the schema of the key.
pub(crate) fn properties() -> Value {
    let weighted_mean = json!({
        "weighted_mean": { "type": "array", "items": { "type": "number" } },
    });
    let rrf = json!({ "rrf": object(json!({ "k": { "type": "integer", "minimum": 1 } })) });
    json!({
        "ensemble": object_with(&["of", "combine"], json!({
            "of": arms(2),
            "combine": {
                "anyOf": [
                    { "enum": ["mean", "max", "vote", "rrf", "concat"] },
                    object_with(&["weighted_mean"], weighted_mean),
                    object_with(&["rrf"], rrf),
                ],
            },
            "quorum": { "type": "integer", "minimum": 1 },
            "deadline": duration(),
        })),
    })
}
