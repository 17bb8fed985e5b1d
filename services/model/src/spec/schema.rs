//! The JSON schema of the key `models`.

use motet_config::keys;
use motet_config::schema::object;
use motet_runtime::config::{AccessSpec, ErrorWords};
use serde_json::{Value, json};

use super::batcher::KEYS as BATCHER_KEYS;
use super::model::THREADS;
use crate::task::Tasks;

/// Returns the JSON schema of the key `models`, for editors. The tasks are `tasks`.
pub fn schema(tasks: &Tasks) -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": {
            "pattern": "^[a-z][a-z0-9_-]{0,62}(@[A-Za-z0-9][A-Za-z0-9._-]{0,31})?$",
        },
        "additionalProperties": model(tasks),
    })
}

fn model(tasks: &Tasks) -> Value {
    let names: Vec<&str> = tasks.iter().map(|task| task.name()).collect();
    let grouped = tasks.iter().filter(|task| task.group().is_some());
    let grouped: Vec<&str> = grouped.map(|task| task.name()).collect();
    let mut model = object(json!({
        "task": { "enum": names },
        "tasks": {
            "type": "array",
            "items": { "enum": grouped },
            "minItems": 2,
            "uniqueItems": true,
            "description": "several tasks that share the computation of the layers",
        },
        "source": {
            "type": "string",
            "description": "builtin:all-minilm-l6-v2, file:PATH of a folder, or hf:ORG/NAME[@REVISION]",
        },
        "endpoint": { "type": "string", "pattern": "^grpcs?://" },
        "errors": {
            "enum": ErrorWords::WORDS.map(|(word, _)| word),
            "description": "for endpoint: whether callers get the words of its errors",
        },
        "device": { "type": "string", "pattern": "^(auto|cpu|cuda(:[0-9]+)?|metal)$" },
        "dtype": { "enum": ["f32", "f16", "bf16", "int8"] },
        "threads": { "type": "integer", "minimum": THREADS.start(), "maximum": THREADS.end() },
        "batcher": keys::schema(&BATCHER_KEYS),
    }));
    for key in AccessSpec::KEYS {
        model["properties"][key] = AccessSpec::schema()[key].take();
    }
    for task in tasks.iter() {
        for key in task.own_keys() {
            add_key(&mut model["properties"], key, task.key_schema(key));
        }
    }
    model["anyOf"] = json!([
        { "required": ["task"] },
        { "required": ["tasks"] },
        { "required": ["endpoint"] },
    ]);
    model
}

/// Adds the schema of a task's own key. Tasks that say different things of one key allow either.
fn add_key(properties: &mut Value, key: &str, schema: Value) {
    let known = &mut properties[key];
    if known.is_null() {
        *known = schema;
    } else if let Some(either) = known.get_mut("anyOf").and_then(Value::as_array_mut) {
        if !either.contains(&schema) {
            either.push(schema);
        }
    } else if *known != schema {
        *known = json!({ "anyOf": [known.take(), schema] });
    }
}
