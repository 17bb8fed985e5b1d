//! The texts of a file's models and pipelines, as a running server loads them.

use std::collections::BTreeSet;

use motet_config::{Diagnostics, Node, Sources, Span};
use motet_gateway::syntax;
use motet_service::Tasks;

use crate::called::Called;
use crate::configuration::{self, ConfigurationErrors, Files};

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileText {
    /// The name of the file in messages.
    pub(crate) file: String,
    /// The text. Lines and columns are those of the file.
    pub(crate) yaml: String,
}

/// Parts of a file that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileTexts {
    /// The pipelines, each after those of the file that it calls.
    pub(crate) pipelines: Vec<FileText>,
    /// The key `models`, if the file has it.
    pub(crate) models_text: Option<FileText>,
    /// Names of the models that a process can run.
    pub(crate) models: Vec<String>,
    /// `true` if the file has endpoints, or models that are only reached at one.
    pub(crate) has_endpoints: bool,
}

/// Reads the models and pipelines of a file.
///
/// # Errors
/// When the file cannot be read, or has errors outside its pipelines.
pub(crate) fn read(files: &Files, tasks: &Tasks) -> Result<FileTexts, ConfigurationErrors> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = files.file.as_deref();
    let config = match configuration::load(file, tasks, &mut sources, &mut diagnostics) {
        Some(config) if !diagnostics.has_errors() => config,
        _ => return Err(configuration::report(&diagnostics, &sources)),
    };
    let mut left: Vec<(FileText, Calls)> = config
        .pipelines
        .iter()
        .map(|node| (text(node.span, &sources), Calls::of(node)))
        .collect();
    let mut pipelines = Vec::new();
    while !left.is_empty() {
        let waits = |calls: &Calls| left.iter().any(|(_, other)| calls.waits_for(other));
        // Pipelines that call each other are refused by the gateway, in any order.
        let next = left.iter().position(|(_, calls)| !waits(calls));
        pipelines.push(left.remove(next.unwrap_or(0)).0);
    }
    let (local, elsewhere): (Vec<_>, Vec<_>) =
        config.models.iter().partition(|model| model.is_local());
    Ok(FileTexts {
        pipelines,
        models_text: config.models_at.map(|span| text(span, &sources)),
        models: local.iter().map(|model| model.name.value.clone()).collect(),
        has_endpoints: !elsewhere.is_empty() || !config.endpoints.is_empty(),
    })
}

/// The name of a pipeline and the pipelines that it calls.
struct Calls {
    name: String,
    called: BTreeSet<String>,
}

impl Calls {
    fn of(node: &Node) -> Self {
        // Errors in the pipeline are reported by the gateway.
        let spec = syntax::parse(node, &mut Diagnostics::new());
        Self {
            called: spec.as_ref().map(Called::by).unwrap_or_default().pipelines,
            name: spec.map(|spec| spec.name.value).unwrap_or_default(),
        }
    }

    fn waits_for(&self, other: &Self) -> bool {
        self.name != other.name && self.called.contains(&other.name)
    }
}

/// Returns a part of a file. What comes before it is left out, but for line breaks and the
/// indentation of the first line, so that errors are reported at their place in the file.
fn text(span: Span, sources: &Sources) -> FileText {
    let file = sources.file(span.file);
    let all = file.text();
    let own = all.get(span.start..span.end).unwrap_or_default();
    let (line, column) = file.position(span.start);
    let mut yaml = "\n".repeat(line - 1);
    yaml.push_str(&" ".repeat(column - 1));
    yaml.push_str(own);
    FileText {
        file: file.name().to_owned(),
        yaml,
    }
}
