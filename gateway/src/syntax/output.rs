//! `outputs:`: what a reply carries.

use motet_config::{Diagnostic, Diagnostics, Entry, Node, Spanned, Value as Yaml};
use motet_runtime::config::NameRule;

use super::literal::is_reference;
use super::parse::{not_reserved, within};
use super::reference::{Reference, reference, reference_in};
use super::{Named, OUTPUTS_MAX, OutputSpec, OutputValue};

pub(super) fn output(entry: &Entry, diagnostics: &mut Diagnostics) -> OutputSpec {
    NameRule::Identifier.check("an output", &entry.key, diagnostics);
    not_reserved("output", &entry.key, diagnostics);
    let value = match &entry.node.value {
        Yaml::Map(map) if map.entries.is_empty() => {
            diagnostics.push(Diagnostic::error(
                entry.key.span,
                format!("output `{}` has no column", entry.key.value),
            ));
            None
        }
        Yaml::Map(map) => {
            within(
                "columns",
                map.entries.len(),
                OUTPUTS_MAX,
                entry.key.span,
                diagnostics,
            );
            let column = |column: &Entry| {
                NameRule::Identifier.check("a column", &column.key, diagnostics);
                Named {
                    name: column.key.clone(),
                    value: only_reference(&column.node, "a column", diagnostics),
                }
            };
            Some(OutputValue::Records(
                map.entries.iter().take(OUTPUTS_MAX).map(column).collect(),
            ))
        }
        _ => only_reference(&entry.node, "an output", diagnostics).map(OutputValue::Single),
    };
    OutputSpec {
        name: entry.key.clone(),
        value,
    }
}

pub(crate) fn only_reference(
    node: &Node,
    what: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<Reference>> {
    if is_reference(node) {
        return reference(node, diagnostics);
    }
    if let Some(text) = node.as_str()
        && let Some(name) = reference_in(node.span, text, 0, text.len())
    {
        let reference = Reference {
            without_sigil: Some(what),
            ..name
        };
        return Some(Spanned::new(reference, node.span));
    }
    let message = format!("{what} must be a reference, not {}", node.kind());
    diagnostics.push(
        Diagnostic::error(node.span, message).help(match node.kind() {
            "a map" | "a list" => "write `$node.output`, or a map of columns for a list of records",
            _ => {
                "write `$node.output`; for a fixed value add a node of kind `value` and refer to it"
            }
        }),
    );
    None
}
