//! `outputs:`: what a reply carries.

use motet_config::{Diagnostic, Diagnostics, Entry, Node, Spanned, Value as Yaml};
use motet_runtime::config::NameRule;

use super::literal::is_reference;
use super::parse::{not_reserved, within};
use super::reference::{Reference, reference};
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

pub(super) fn only_reference(
    node: &Node,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<Reference>> {
    if is_reference(node) {
        return reference(node, diagnostics);
    }
    let mut diagnostic = Diagnostic::error(
        node.span,
        format!("{what} must be a reference, not {}", node.kind()),
    );
    diagnostic = match node.as_str() {
        Some(text) if NameRule::Identifier.allows(text.split('.').next().unwrap_or("")) => {
            diagnostic.help(format!("did you mean `${text}`?"))
        }
        _ => diagnostic.help("write `$node.output`, or a map of columns for a list of records"),
    };
    diagnostics.push(diagnostic);
    None
}
