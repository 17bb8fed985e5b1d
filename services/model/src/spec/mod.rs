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

use std::path::Path;

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Sources, Value, parse};

use crate::task::Tasks;

pub use batcher::BatcherSpec;
pub use model::ModelSpec;
pub use schema::schema;

/// Reads the entry `models` of a configuration, whose tasks are among `tasks`. Mistakes are added
/// to `diagnostics`; the models without a mistake in their form are returned, in the order of the
/// file.
pub fn read(entry: &Entry, tasks: &Tasks, diagnostics: &mut Diagnostics) -> Vec<ModelSpec> {
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
    let models = entries.iter();
    models
        .filter_map(|entry| model::read(entry, tasks, diagnostics))
        .collect()
}

/// Reads the models of a configuration that has no other keys. Messages call the text `name`;
/// relative paths in it start from the current folder.
pub fn read_text(
    name: &str,
    text: &str,
    tasks: &Tasks,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<ModelSpec> {
    read_text_in(Path::new(""), name, text, tasks, sources, diagnostics)
}

/// Reads models as [`read_text`]; relative paths in the text start from `folder`.
pub fn read_text_in(
    folder: &Path,
    name: &str,
    text: &str,
    tasks: &Tasks,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<ModelSpec> {
    let file = sources.add(name, folder, text);
    let Some(root) = parse(sources, file, diagnostics) else {
        return Vec::new();
    };
    let Some(mut map) = MapReader::new(&root, "a configuration", root.span, diagnostics) else {
        return Vec::new();
    };
    let models = map.get("models");
    let models = models.map(|entry| read(entry, tasks, diagnostics));
    map.finish(diagnostics);
    models.unwrap_or_default()
}
