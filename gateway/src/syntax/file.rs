//! A configuration file: the keys `server`, `models`, `endpoints`, `pipelines` and `streams`; or
//! one pipeline.
//!
//! Of `server`, `models` and `streams` only the names of models are known here: what they hold is
//! read by the crates that they configure.

use std::path::Path;

use motet_config::{
    Diagnostic, Diagnostics, Entry, FileId, Map, MapReader, Node, Sources, Span, Spanned, Value,
    nearest, parse, values,
};

use super::endpoints::{self, EndpointSpec};

/// Most pipelines of a configuration.
pub const PIPELINES_MAX: usize = 1000;

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConfigFile {
    /// The entry `server`.
    pub server: Option<Entry>,
    /// The entry `models`.
    pub models: Option<Entry>,
    /// The gRPC servers whose methods pipelines call, in the order of the file.
    pub endpoints: Vec<EndpointSpec>,
    /// The pipelines, in the order of the file: inline ones and those of other files.
    pub pipelines: Vec<Node>,
    /// The entry `streams`.
    pub streams: Option<Entry>,
    /// `true` if the file is one pipeline and nothing else.
    pub lone_pipeline: bool,
}

impl ConfigFile {
    /// Reads a configuration, or a file with one pipeline, and every pipeline file that it names.
    ///
    /// Mistakes are added to `diagnostics`, and the rest is still read, so that further checks
    /// can report theirs in the same run. `None` when nothing useful could be read.
    pub fn load(path: &Path, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Option<Self> {
        match sources.read(path) {
            Ok(file) => Self::read(file, sources, diagnostics),
            Err(error) => {
                diagnostics.push(Diagnostic::error_without_span(error.to_string()));
                None
            }
        }
    }

    /// Reads a configuration from a text, as [`ConfigFile::load`]. Messages call it `name`;
    /// relative paths in it start from the current folder.
    pub fn from_text(
        name: &str,
        text: &str,
        sources: &mut Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let file = sources.add(name, "", text);
        Self::read(file, sources, diagnostics)
    }

    fn read(file: FileId, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Option<Self> {
        let root = parse(sources, file, diagnostics)?;
        if is_pipeline(&root) {
            return Some(Self {
                pipelines: vec![root],
                lone_pipeline: true,
                ..Self::default()
            });
        }
        let mut map = MapReader::new(&root, "a configuration", first_key(&root), diagnostics)?;
        let mut read = Self {
            server: map.get("server").cloned(),
            models: map.get("models").cloned(),
            streams: map.get("streams").cloned(),
            ..Self::default()
        };
        if let Some(entry) = map.get("endpoints") {
            let folder = sources.file(file).folder();
            let models: Vec<_> = read.model_names().collect();
            read.endpoints = endpoints::read_all(entry, folder, &models, diagnostics);
        }
        if let Some(entry) = map.get("pipelines").filter(|e| !e.node.is_null()) {
            read.pipelines = pipelines(entry, file, sources, diagnostics);
        }
        map.finish(diagnostics);
        Some(read)
    }

    /// Returns the names of the models.
    pub fn model_names(&self) -> impl Iterator<Item = &Spanned<String>> {
        let models = self.models.as_ref().and_then(|entry| entry.node.as_map());
        models
            .into_iter()
            .flat_map(|map| map.entries.iter().map(|e| &e.key))
    }
}

const CONFIG_KEYS: [&str; 5] = ["server", "models", "endpoints", "pipelines", "streams"];

/// Keys of a pipeline.
pub(super) const PIPELINE_KEYS: [&str; 7] = [
    "pipeline",
    "version",
    "description",
    "inputs",
    "deadline",
    "nodes",
    "outputs",
];

/// `true` if a file is one pipeline, even where the key `pipeline` is missing or misspelled.
fn is_pipeline(root: &Node) -> bool {
    let Some(map) = root.as_map() else {
        return false;
    };
    let has = |keys: &[&str]| keys.iter().any(|key| map.get(key).is_some());
    if has(&CONFIG_KEYS) {
        return false;
    }
    let all = || CONFIG_KEYS.into_iter().chain(PIPELINE_KEYS);
    has(&PIPELINE_KEYS)
        || map.entries.iter().any(|entry| {
            nearest(&entry.key.value, all()).is_some_and(|near| PIPELINE_KEYS.contains(&near))
        })
}

fn first_key(node: &Node) -> Span {
    match &node.value {
        Value::Map(Map { entries }) => entries.first().map_or(node.span, |e| e.key.span),
        _ => node.span,
    }
}

fn pipelines(
    entry: &Entry,
    file: FileId,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<Node> {
    let items = values::list(entry, diagnostics).unwrap_or_default();
    if items.len() > PIPELINES_MAX {
        let found = items.len();
        let message = format!("{found} pipelines are more than the limit of {PIPELINES_MAX}");
        diagnostics.push(Diagnostic::error(entry.key.span, message));
    }
    let items = items.iter().take(PIPELINES_MAX);
    items
        .filter_map(|item| pipeline(item, file, sources, diagnostics))
        .collect()
}

/// Returns a pipeline of the list: the item itself, or that of the file which it names.
fn pipeline(
    item: &Node,
    config: FileId,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    let path = match &item.value {
        Value::Map(_) => return Some(item.clone()),
        Value::String(path) => sources.file(config).folder().join(path),
        _ => {
            let kind = item.kind();
            let message = format!(
                "an item of `pipelines` must be a pipeline or the path of a file that holds one, \
                 not {kind}"
            );
            diagnostics.push(Diagnostic::error(item.span, message));
            return None;
        }
    };
    let file = sources.read(&path).map_err(|error| {
        diagnostics.push(
            Diagnostic::error(item.span, error.to_string())
                .help("the path is taken from the folder of this configuration file"),
        );
    });
    let root = parse(sources, file.ok()?, diagnostics)?;
    if is_pipeline(&root) {
        return Some(root);
    }
    let message = "the file does not hold a pipeline";
    let label = "a pipeline file has `pipeline:` at its top level";
    diagnostics.push(Diagnostic::error(item.span, message).also(first_key(&root), label));
    None
}

#[cfg(test)]
mod tests;
