//! The whole file: `server`, `models`, `endpoints`, `pipelines`; or one pipeline alone.

use std::path::Path;

use super::endpoints::{self, EndpointSpec};
use super::model::{self, ModelSpec};
use super::server::{self, ServerSpec};
use motet_config::{
    Diagnostic, Diagnostics, FileId, Map, MapReader, Node, Sources, Span, Value, nearest, parse,
    values::list,
};

/// The most pipelines of one configuration.
pub const PIPELINES_MAX: usize = 1000;

/// A configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to listen and what to take on at once.
    pub server: ServerSpec,
    /// The models, in the file's order.
    pub models: Vec<ModelSpec>,
    /// The gRPC servers whose methods pipelines call, in the file's order.
    pub endpoints: Vec<EndpointSpec>,
    /// The pipelines, in the file's order, as written: inline ones and those of other files.
    pub pipelines: Vec<Node>,
    /// Whether the file is one pipeline and nothing else: there are then no models.
    pub lone_pipeline: bool,
}

impl Config {
    /// Reads a configuration, or a file with one pipeline, and every pipeline file that it names.
    ///
    /// As much as can be made out is returned even when there are errors, so that further checks
    /// can report theirs in the same run: ask [`Diagnostics::has_errors`] before using it. `None`
    /// when there is nothing to go on with.
    pub fn load(path: &Path, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Option<Self> {
        match sources.read(path) {
            Ok(file) => Self::from_file(file, sources, diagnostics),
            Err(error) => {
                diagnostics.push(Diagnostic::error_without_span(error.to_string()));
                None
            }
        }
    }

    /// Reads a configuration from a text; `name` is what messages call it. Paths in it start from
    /// the current folder.
    pub fn from_text(
        name: &str,
        text: &str,
        sources: &mut Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let file = sources.add(name, "", text);
        Self::from_file(file, sources, diagnostics)
    }

    fn from_file(
        file: FileId,
        sources: &mut Sources,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let root = parse(sources, file, diagnostics)?;
        if is_pipeline(&root) {
            return Some(Self {
                server: ServerSpec::default(),
                models: Vec::new(),
                endpoints: Vec::new(),
                pipelines: vec![root],
                lone_pipeline: true,
            });
        }
        let at = first_key(&root);
        let mut map = MapReader::new(&root, "a configuration", at, diagnostics)?;
        let server = map
            .get("server")
            .map(|e| server::read(e, diagnostics))
            .unwrap_or_default();
        let models = map
            .get("models")
            .map(|e| model::read_all(e, diagnostics))
            .unwrap_or_default();
        let endpoints = map
            .get("endpoints")
            .map(|e| endpoints::read_all(e, sources.file(file).folder(), &models, diagnostics))
            .unwrap_or_default();
        let mut pipelines = Vec::new();
        if let Some(entry) = map.get("pipelines").filter(|e| !e.node.is_null()) {
            let items = list(entry, diagnostics).unwrap_or_default();
            if items.len() > PIPELINES_MAX {
                diagnostics.push(Diagnostic::error(
                    entry.key.span,
                    format!(
                        "{} pipelines are more than the limit of {PIPELINES_MAX}",
                        items.len()
                    ),
                ));
            }
            for item in items.iter().take(PIPELINES_MAX) {
                pipelines.extend(pipeline(item, file, sources, diagnostics));
            }
        }
        map.finish(diagnostics);
        Some(Self {
            server,
            models,
            endpoints,
            pipelines,
            lone_pipeline: false,
        })
    }

    /// The model `name`.
    pub fn model(&self, name: &str) -> Option<&ModelSpec> {
        self.models.iter().find(|m| m.name.value == name)
    }
}

const CONFIG_KEYS: [&str; 4] = ["server", "models", "endpoints", "pipelines"];

/// The keys of a pipeline file: all that is known here of what a pipeline is.
const PIPELINE_KEYS: [&str; 7] = [
    "pipeline",
    "version",
    "description",
    "inputs",
    "deadline",
    "nodes",
    "outputs",
];

/// Whether a file is one pipeline, even where `pipeline` itself is missing or slipped.
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

/// A pipeline of the list: itself, or read from the file that the item names.
fn pipeline(
    item: &Node,
    config: FileId,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    match &item.value {
        Value::Map(_) => Some(item.clone()),
        Value::String(path) => {
            let path = sources.file(config).folder().join(path);
            match sources.read(&path) {
                Ok(file) => {
                    let root = parse(sources, file, diagnostics)?;
                    if !is_pipeline(&root) {
                        diagnostics.push(
                            Diagnostic::error(item.span, "the file does not hold a pipeline").also(
                                first_key(&root),
                                "a pipeline file has `pipeline:` at its top level",
                            ),
                        );
                        return None;
                    }
                    Some(root)
                }
                Err(error) => {
                    diagnostics.push(
                        Diagnostic::error(item.span, error.to_string())
                            .help("the path is taken from the folder of this configuration file"),
                    );
                    None
                }
            }
        }
        _ => {
            diagnostics.push(Diagnostic::error(
                item.span,
                format!(
                    "an item of `pipelines` must be a pipeline or the path of a file that holds one, not {}",
                    item.kind()
                ),
            ));
            None
        }
    }
}
