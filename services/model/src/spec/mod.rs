//! The key `models` of a configuration: the models by name, each with its task and source, or the
//! endpoint where it is reached.
//!
//! * `model`: [`ModelSpec`], one model; `check_keys`: keys that do not go together.
//! * `batcher`: [`BatcherSpec`], the key `batcher` of a model.
//! * `schema`: [`schema()`], the JSON schema of the key.

mod batcher;
mod check_keys;
mod model;
mod schema;

#[cfg(test)]
mod tests;

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Sources, Value, parse, truncated};

pub use batcher::BatcherSpec;
pub use model::{ModelSpec, TokenizerSpec};
pub use schema::schema;

/// Reads the entry `models` of a configuration. Mistakes are added to `diagnostics`; the models
/// without a mistake in their form are returned, in the order of the file.
pub fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Vec<ModelSpec> {
    let entries = match &entry.node.value {
        Value::Null => return Vec::new(),
        Value::Map(map) => &map.entries,
        _ => {
            let kind = entry.node.kind();
            let message = format!("`models` must be a map of names and models, not {kind}");
            let example = "write `models: { minilm: { task: embed, \
                           source: \"builtin:all-minilm-l6-v2\" } }`";
            diagnostics.push(Diagnostic::error(entry.node.span, message).help(example));
            return Vec::new();
        }
    };
    let models: Vec<ModelSpec> = entries
        .iter()
        .filter_map(|e| model::read(e, diagnostics))
        .collect();
    let names: Vec<&str> = entries.iter().map(|e| e.key.value.as_str()).collect();
    check_tokenizers(&models, &names, diagnostics);
    models
}

/// Reads the models of a configuration that has no other keys. Messages call the text `name`;
/// relative paths in it start from the current folder.
pub fn read_text(
    name: &str,
    text: &str,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<ModelSpec> {
    let file = sources.add(name, "", text);
    let Some(root) = parse(sources, file, diagnostics) else {
        return Vec::new();
    };
    let Some(mut map) = MapReader::new(&root, "a configuration", root.span, diagnostics) else {
        return Vec::new();
    };
    let models = map.get("models");
    let models = models.map(|entry| read(entry, diagnostics));
    map.finish(diagnostics);
    models.unwrap_or_default()
}

/// Checks that a tokenizer with the name of a model is that of a model with files of its own.
/// `names` are those of all models, also of those that could not be read.
fn check_tokenizers(models: &[ModelSpec], names: &[&str], diagnostics: &mut Diagnostics) {
    for model in models {
        let Some(tokenizer) = &model.tokenizer else {
            continue;
        };
        let TokenizerSpec::Model(name) = &tokenizer.value else {
            continue;
        };
        let shown = truncated(name);
        match models.iter().find(|m| m.name.value == *name) {
            Some(other) if other.source.is_some() => {}
            Some(other) => {
                let message = format!("model `{shown}` has no `source` to take a tokenizer from");
                diagnostics.push(
                    Diagnostic::error(tokenizer.span, message)
                        .also(other.name.span, "declared here"),
                );
            }
            None if names.contains(&name.as_str()) => {}
            None => {
                let others = names.iter().copied().filter(|n| *n != model.name.value);
                let message = format!("no model is named `{shown}`");
                diagnostics.push(Diagnostic::error(tokenizer.span, message).suggest(name, others));
            }
        }
    }
}
