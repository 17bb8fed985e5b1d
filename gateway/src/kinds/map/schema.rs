//! `map`: its keys in the JSON schema.

use motet_config::schema::object_with;
use serde_json::{Value, json};

use crate::schema::{body, map_of, references};
use crate::syntax::NODES_MAX;

/// Returns the schema of the key.
pub(crate) fn properties() -> Value {
    json!({
        "map": object_with(&["over"], json!({
            "over": { "$ref": "#/$defs/output" },
            "as": { "$ref": "#/$defs/name" },
            "max_items": { "type": "integer", "minimum": 1 },
            "concurrency": { "type": "integer", "minimum": 1 },
            "on_item_error": { "enum": ["fail", "drop", "null"] },
            "do": body(),
            "nodes": map_of("node", NODES_MAX),
            "outputs": references(),
        })),
    })
}
