//! The texts of a file's pipelines, one by one, as `motet.v1.Pipelines/Load` takes them.

use std::collections::BTreeSet;

use motet_config::{Diagnostics, Node, Sources};
use motet_gateway::syntax;
use motet_service::Tasks;

use crate::called::Called;
use crate::configuration::{self, ConfigurationErrors, Files};

/// The text of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PipelineText {
    /// The name of the file in messages.
    pub(crate) file: String,
    /// The text. Lines and columns are those of the file.
    pub(crate) yaml: String,
}

/// The pipelines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PipelineTexts {
    /// Each after those of the file that it calls.
    pub(crate) texts: Vec<PipelineText>,
    /// `true` if the file has models or endpoints, too.
    pub(crate) has_more: bool,
}

/// Reads the pipelines of a file.
///
/// # Errors
/// When the file cannot be read, or has errors outside its pipelines.
pub(crate) fn read(files: &Files, tasks: &Tasks) -> Result<PipelineTexts, ConfigurationErrors> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = files.file.as_deref();
    let config = match configuration::load(file, tasks, &mut sources, &mut diagnostics) {
        Some(config) if !diagnostics.has_errors() => config,
        _ => return Err(configuration::report(&diagnostics, &sources)),
    };
    let mut left: Vec<(PipelineText, Calls)> = config
        .pipelines
        .iter()
        .map(|node| (text(node, &sources), Calls::of(node)))
        .collect();
    let mut texts = Vec::new();
    while !left.is_empty() {
        let waits = |calls: &Calls| left.iter().any(|(_, other)| calls.waits_for(other));
        // Pipelines that call each other are refused by the gateway, in any order.
        let next = left.iter().position(|(_, calls)| !waits(calls));
        texts.push(left.remove(next.unwrap_or(0)).0);
    }
    Ok(PipelineTexts {
        texts,
        has_more: !config.models.is_empty() || !config.endpoints.is_empty(),
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

/// Returns the text of a pipeline. What comes before it in its file is left out, but for line
/// breaks and the indentation of the first line, so that errors are reported at their place in the
/// file.
fn text(node: &Node, sources: &Sources) -> PipelineText {
    let file = sources.file(node.span.file);
    let all = file.text();
    let span = node.span;
    let own = all.get(span.start..span.end).unwrap_or_default();
    let (line, column) = file.position(span.start);
    let mut yaml = "\n".repeat(line - 1);
    yaml.push_str(&" ".repeat(column - 1));
    yaml.push_str(own);
    PipelineText {
        file: file.name().to_owned(),
        yaml,
    }
}
