//! Bodies of nodes: a step, or a graph with outputs of its own, inside a node.

use motet_config::{Diagnostic, Diagnostics, MapReader, Node, Span, Spanned, Value as Yaml};
use motet_runtime::config::NameRule;

use super::kind::KINDS;
use super::output::only_reference;
use super::parse::{section, within};
use super::{NODES_MAX, Named, NodeSpec, OUTPUTS_MAX, Reference, node};

/// A step, or a graph with outputs of its own, inside a node.
#[derive(Debug, Clone, PartialEq)]
pub struct BodySpec {
    /// Its name in messages, such as `words[2]`, and where it begins.
    pub name: Spanned<String>,
    /// Its nodes: exactly one for a step.
    pub nodes: Vec<NodeSpec>,
    /// Its outputs; `None` for a step, whose outputs they are. An output is `None` where it could
    /// not be read, which was reported.
    pub outputs: Option<Vec<Named<Option<Spanned<Reference>>>>>,
}

/// The name of a node, from which the names of its bodies are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeName<'a>(pub(super) &'a Spanned<String>);

impl NodeName<'_> {
    /// Returns the name of the node's `i`th arm, counted from 1.
    pub(crate) fn arm(self, i: usize, span: Span) -> Spanned<String> {
        Spanned::new(format!("{}[{i}]", self.0.value), start_of(span))
    }

    /// Returns the name of the node's `i`th shadow arm, counted from 1.
    pub(crate) fn shadow(self, i: usize, span: Span) -> Spanned<String> {
        Spanned::new(format!("{}[shadow {i}]", self.0.value), start_of(span))
    }

    /// Returns the name of the body that the node runs for each element.
    pub(crate) fn each(self, span: Span) -> Spanned<String> {
        Spanned::new(format!("{}[]", self.0.value), start_of(span))
    }
}

/// The first byte: an arm may be many lines long, and a message points at where it begins.
fn start_of(span: Span) -> Span {
    Span {
        end: span.end.min(span.start + 1),
        ..span
    }
}

/// Reads a step, or `{ nodes: ..., outputs: ... }`.
pub(crate) fn body(
    node: &Node,
    name: Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> Option<BodySpec> {
    let is_graph = node.as_map().is_some_and(|map| {
        let has = |key: &str| map.entries.iter().any(|e| e.key.value == key);
        has("nodes") || has("outputs") && !KINDS.iter().copied().any(has)
    });
    if !is_graph {
        let spec = node::node(&name, node, diagnostics);
        return Some(BodySpec {
            name,
            nodes: vec![spec],
            outputs: None,
        });
    }
    let what = format!("the graph `{}`", name.value);
    let mut map = MapReader::new(node, what, name.span, diagnostics)?;
    let graph = graph(&mut map, name, diagnostics);
    map.finish(diagnostics);
    Some(graph)
}

/// The keys `nodes` and `outputs` of a map that may have others.
pub(crate) fn graph(
    map: &mut MapReader<'_>,
    name: Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> BodySpec {
    let nodes = section(map.get("nodes"), "nodes", NODES_MAX, diagnostics)
        .iter()
        .map(|e| {
            NameRule::Identifier.check("a node", &e.key, diagnostics);
            node::node(&e.key, &e.node, diagnostics)
        })
        .collect();
    let entry = map.required("outputs", "for example `outputs: { label: $tag.label }`");
    let mut outputs = Vec::new();
    if let Some(entry) = entry {
        match &entry.node.value {
            Yaml::Map(columns) if !columns.entries.is_empty() => {
                let count = columns.entries.len();
                within("outputs", count, OUTPUTS_MAX, entry.key.span, diagnostics);
                for column in columns.entries.iter().take(OUTPUTS_MAX) {
                    NameRule::Identifier.check("an output", &column.key, diagnostics);
                    outputs.push(Named {
                        name: column.key.clone(),
                        value: only_reference(&column.node, "an output", diagnostics),
                    });
                }
            }
            _ => diagnostics.push(Diagnostic::error(
                entry.node.span,
                "`outputs` must be a map of names and references, with at least one of them",
            )),
        }
    }
    BodySpec {
        name,
        nodes,
        outputs: Some(outputs),
    }
}
