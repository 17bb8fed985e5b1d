//! The JSON schema of pipeline and configuration files, for completion and first errors in editors.
//! References, types and lengths are beyond a schema; `motet check` checks them.

use motet_config::schema::{duration, object, object_with};
use motet_runtime::config::{AccessSpec, ErrorWords};
use serde_json::{Value, json};

use crate::call::layers;
use crate::syntax::{
    ARMS_MAX, ENDPOINTS_MAX, INPUTS_MAX, KINDS, NODES_MAX, OUTPUTS_MAX, PIPELINES_MAX,
};

/// Returns the schema of a configuration file, or of a file with one pipeline. `server`, `models`
/// and `streams` are the schemas of these keys, which others read.
pub fn json_schema(server: Value, models: Value, streams: Value) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "motet",
        "anyOf": [{ "$ref": "#/$defs/pipeline" }, { "$ref": "#/$defs/configuration" }],
        "$defs": {
            "configuration": {
                "type": "object",
                "properties": {
                    "server": server,
                    "models": models,
                    "endpoints": {
                        "type": ["object", "null"],
                        "additionalProperties": {
                            "anyOf": [url(), endpoint()],
                        },
                        "maxProperties": ENDPOINTS_MAX,
                    },
                    "pipelines": {
                        "type": "array",
                        "items": {
                            "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/pipeline" }],
                        },
                        "maxItems": PIPELINES_MAX,
                    },
                    "streams": streams,
                },
                "additionalProperties": false,
                "anyOf": [
                    { "required": ["models"] },
                    { "required": ["endpoints"] },
                    { "required": ["pipelines"] },
                    { "required": ["server"] },
                    { "required": ["streams"] },
                ],
            },
            "pipeline": {
                "type": "object",
                "required": ["pipeline", "outputs"],
                "properties": {
                    "pipeline": { "$ref": "#/$defs/name" },
                    "version": { "type": "integer", "minimum": 1 },
                    "description": { "type": "string" },
                    "deadline": object(json!({ "default": duration(), "max": duration() })),
                    "inputs": map_of("input", INPUTS_MAX),
                    "nodes": map_of("node", NODES_MAX),
                    "outputs": map_of("output", OUTPUTS_MAX),
                },
                "additionalProperties": false,
            },
            "name": { "type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$" },
            "reference": {
                "type": "string",
                "pattern": "^\\$[A-Za-z0-9_-]+(\\.[A-Za-z0-9_./:-]+)?$",
            },
            "output": {
                "anyOf": [
                    { "$ref": "#/$defs/reference" },
                    {
                        "type": "object",
                        "additionalProperties": { "$ref": "#/$defs/reference" },
                        "minProperties": 1,
                    },
                ],
            },
            "type": {
                "type": "string",
                "description": "string, bytes, bool, int, float, i8 to u64, f16, bf16, f64, \
                                with dimensions such as [N,384]",
            },
            "literal": {
                "anyOf": [
                    { "type": ["string", "number", "boolean"] },
                    { "type": "array", "items": { "type": ["string", "number", "boolean"] } },
                ],
            },
            "values": {
                "type": ["object", "null"],
                "additionalProperties": { "$ref": "#/$defs/literal" },
            },
            "input": {
                "anyOf": [{ "$ref": "#/$defs/type" }, object_with(&["type"], json!({
                    "type": { "$ref": "#/$defs/type" },
                    "default": { "$ref": "#/$defs/literal" },
                    "optional": { "type": "boolean" },
                    "min": { "type": "number" },
                    "max": { "type": "number" },
                    "max_items": { "type": "integer", "minimum": 1 },
                    "max_bytes": { "type": ["integer", "string"] },
                }))],
            },
            "condition": { "type": ["string", "boolean"] },
            "node": node(),
            "graph": object_with(&["outputs"], json!({
                "nodes": map_of("node", NODES_MAX),
                "outputs": references(),
            })),
            "body": { "anyOf": [{ "$ref": "#/$defs/node" }, { "$ref": "#/$defs/graph" }] },
        },
    })
}

macro_rules! kind_properties {
    ($($(#[$doc:meta])* $key:literal => $module:ident :: $variant:ident,)*) => {
        /// Returns the schemas of the keys of each kind of node.
        fn kind_properties() -> Vec<Value> {
            vec![$(crate::kinds::$module::schema::properties()),*]
        }
    };
}

node_kinds!(kind_properties);

/// Returns the schema of a node of any kind.
fn node() -> Value {
    let one_of: Vec<Value> = KINDS
        .iter()
        .map(|kind| json!({ "required": [kind] }))
        .collect();
    let mut properties = json!({
        "in": { "$ref": "#/$defs/values" },
        "with": { "$ref": "#/$defs/values" },
        "when": { "$ref": "#/$defs/condition" },
        "on_error": object_with(&["use"], json!({
            "use": { "$ref": "#/$defs/values" },
            "mark": { "enum": ["degraded"] },
        })),
    });
    for more in kind_properties().into_iter().chain([layers::schema()]) {
        if let (Some(properties), Value::Object(more)) = (properties.as_object_mut(), more) {
            properties.extend(more);
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": one_of,
    })
}

/// Returns the schema of outputs, each a reference.
pub(crate) fn references() -> Value {
    json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/reference" } })
}

/// Returns the schema of a body inside a node.
pub(crate) fn body() -> Value {
    json!({ "$ref": "#/$defs/body" })
}

/// Returns the schema of a list of arms, of which there are at least `least`.
pub(crate) fn arms(least: usize) -> Value {
    json!({ "type": "array", "items": body(), "minItems": least, "maxItems": ARMS_MAX })
}

/// Returns the schema of a map of names to what `$defs` has under `what`.
pub(crate) fn map_of(what: &str, most: usize) -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": { "$ref": "#/$defs/name" },
        "additionalProperties": { "$ref": format!("#/$defs/{what}") },
        "maxProperties": most,
    })
}

/// Returns the schema of the URL of a gRPC server.
fn url() -> Value {
    json!({ "type": "string", "pattern": "^grpcs?://" })
}

/// Returns the schema of an endpoint that has more than a URL.
fn endpoint() -> Value {
    let mut endpoint = object_with(
        &["url"],
        json!({
            "url": url(),
            "descriptor": {
                "type": "string",
                "description": "the path of a FileDescriptorSet",
            },
            "errors": { "enum": ErrorWords::WORDS.map(|(word, _)| word) },
        }),
    );
    for key in AccessSpec::KEYS {
        endpoint["properties"][key] = AccessSpec::schema()[key].take();
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_every_kind_and_every_reference_leads_somewhere() {
        let schema = json_schema(json!({}), json!({}), json!({}));
        let properties = &schema["$defs"]["node"]["properties"];
        for kind in KINDS {
            assert!(properties.get(kind).is_some(), "{kind}");
        }
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(reference)) = map.get("$ref") {
                        found.push(reference.clone());
                    }
                    map.values().for_each(|v| references(v, found));
                }
                Value::Array(items) => items.iter().for_each(|v| references(v, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        references(&schema, &mut found);
        for reference in found {
            let name = reference.strip_prefix("#/$defs/").unwrap();
            assert!(schema["$defs"].get(name).is_some(), "{reference}");
        }
    }
}
