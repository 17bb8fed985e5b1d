//! What stands inside a node: one step, or a graph with outputs of its own.

use motet_config::{Diagnostic, Diagnostics, MapReader, Node, Span, Spanned, Value as Yaml};
use motet_runtime::config::NameRule;

use super::{KINDS, named};
use crate::syntax::output::only_reference;
use crate::syntax::parse::{section, within};
use crate::syntax::{BodySpec, NODES_MAX, Named, OUTPUTS_MAX, node};

/// The name of the node that something stands in.
#[derive(Clone, Copy)]
pub(in crate::syntax) struct Name<'a>(pub(in crate::syntax) &'a Spanned<String>);

impl Name<'_> {
    /// The name of its `i`th arm, counted from 1.
    pub(super) fn arm(self, i: usize, span: Span) -> Spanned<String> {
        named(format!("{}[{i}]", self.0.value), start_of(span))
    }

    /// The name of its `i`th shadow arm, counted from 1.
    pub(super) fn shadow(self, i: usize, span: Span) -> Spanned<String> {
        named(format!("{}[shadow {i}]", self.0.value), start_of(span))
    }

    /// The name of the step that it runs for each element.
    pub(super) fn each(self, span: Span) -> Spanned<String> {
        named(format!("{}[]", self.0.value), start_of(span))
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
pub(in crate::syntax) fn body(
    node: &Node,
    name: Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> Option<BodySpec> {
    let is_graph = node.as_map().is_some_and(|map| {
        let has = |key: &str| map.entries.iter().any(|e| e.key.value == key);
        has("nodes") || has("outputs") && !KINDS.iter().any(|key| has(key))
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
pub(super) fn graph(
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
