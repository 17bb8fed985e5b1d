//! The JSON schema of pipeline and configuration files, for completion and first errors in editors.
//! References, types and lengths are beyond a schema; `motet check` checks them.

mod policies;

use motet_config::schema::{duration, object, object_with};
use serde_json::{Value, json};

use crate::ops::registry;
use crate::syntax::{
    ARMS_MAX, ENDPOINTS_MAX, INPUTS_MAX, MESSAGES_MAX, NODES_MAX, OUTPUTS_MAX, PIPELINES_MAX,
};

/// Returns the schema of a configuration file, or of a file with one pipeline. `server` and
/// `models` are the schemas of these keys, which others read.
pub fn json_schema(server: Value, models: Value) -> Value {
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
                            "anyOf": [url(), object_with(&["url"], json!({
                                "url": url(),
                                "descriptor": {
                                    "type": "string",
                                    "description": "the path of a FileDescriptorSet",
                                },
                            }))],
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
                },
                "additionalProperties": false,
                "anyOf": [
                    { "required": ["models"] },
                    { "required": ["endpoints"] },
                    { "required": ["pipelines"] },
                    { "required": ["server"] },
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

/// Returns the schema of a node of any kind.
fn node() -> Value {
    let ops: Vec<&str> = registry::names().collect();
    let body = || json!({ "$ref": "#/$defs/body" });
    let arms = |least: usize| {
        json!({
            "type": "array",
            "items": body(),
            "minItems": least,
            "maxItems": ARMS_MAX,
        })
    };
    let kinds = json!({
        "model": { "type": "string" },
        "grpc": { "type": "string", "pattern": "^/?[A-Za-z0-9_.]+/[A-Za-z0-9_]+$" },
        "op": { "enum": ops },
        "pipeline": { "type": "string" },
        "value": { "type": "object", "minProperties": 1 },
        "fallback": arms(2),
        "switch": {
            "type": "array",
            "minItems": 1,
            "items": object(json!({
                "when": { "$ref": "#/$defs/condition" },
                "do": body(),
                "default": body(),
            })),
        },
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
        "ensemble": object_with(&["of", "combine"], json!({
            "of": arms(2),
            "combine": {
                "anyOf": [
                    { "enum": ["mean", "max", "vote", "rrf", "concat"] },
                    object_with(&["weighted_mean"], json!({
                        "weighted_mean": { "type": "array", "items": { "type": "number" } },
                    })),
                    object_with(&["rrf"], json!({
                        "rrf": object(json!({ "k": { "type": "integer", "minimum": 1 } })),
                    })),
                ],
            },
            "quorum": { "type": "integer", "minimum": 1 },
            "deadline": duration(),
        })),
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
    });
    let one_of: Vec<Value> = kinds
        .as_object()
        .into_iter()
        .flat_map(|kinds| kinds.keys())
        .map(|kind| json!({ "required": [kind] }))
        .collect();
    let mut properties = json!({
        "in": { "$ref": "#/$defs/values" },
        "endpoint": {
            "type": "string",
            "description": "for `grpc`: one of `endpoints`, or grpc://host:port",
        },
        "out": {
            "type": "object",
            "description": "for `grpc`: outputs by name, each with a path of fields of the answer",
            "additionalProperties": { "type": "string" },
            "maxProperties": OUTPUTS_MAX,
        },
        "max_items": {
            "type": "integer",
            "minimum": 1,
            "maximum": MESSAGES_MAX,
            "description": "for `grpc`: the most messages of an answer that is a stream",
        },
        "with": { "$ref": "#/$defs/values" },
        "when": { "$ref": "#/$defs/condition" },
        "deadline": node_deadline(),
        "priority": { "type": ["integer", "string"] },
        "retry": policies::retry(),
        "hedge": policies::hedge(),
        "cache": policies::cache(),
        "on_error": object_with(&["use"], json!({
            "use": { "$ref": "#/$defs/values" },
            "mark": { "enum": ["degraded"] },
        })),
    });
    if let (Some(properties), Value::Object(kinds)) = (properties.as_object_mut(), kinds) {
        properties.extend(kinds);
    }
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": one_of,
    })
}

/// Returns the schema of outputs, each a reference.
fn references() -> Value {
    json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/reference" } })
}

/// Returns the schema of an object of at most `most` entries of the type `what`, by name.
fn map_of(what: &str, most: usize) -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": { "$ref": "#/$defs/name" },
        "additionalProperties": { "$ref": format!("#/$defs/{what}") },
        "maxProperties": most,
    })
}

/// Returns the schema of the URL of a gRPC server.
fn url() -> Value {
    json!({ "type": "string", "pattern": "^grpc://" })
}

/// Returns the schema of the deadline of a node.
fn node_deadline() -> Value {
    json!({
        "type": "string",
        "description": "a duration such as 200ms, or a percentage of the time left such as 40%",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::KINDS;

    #[test]
    fn the_schema_has_every_kind_and_every_reference_leads_somewhere() {
        let schema = json_schema(json!({}), json!({}));
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
