//! Values written out in a pipeline file.

use motet_config::{Diagnostic, Diagnostics, Node, Spanned, Value as Yaml};

use crate::scalar::Scalar;

/// A scalar, or a list of scalars, not yet of any element type.
#[derive(Debug, Clone, PartialEq)]
pub struct LiteralSpec {
    /// `true` for a list.
    pub list: bool,
    /// The elements: exactly one for a scalar.
    pub values: Vec<Spanned<Scalar>>,
}

/// Reads a scalar.
pub(super) fn scalar(node: &Node) -> Option<Scalar> {
    match &node.value {
        Yaml::Bool(b) => Some(Scalar::Bool(*b)),
        Yaml::Int(i) => Some(Scalar::Int(*i)),
        Yaml::Float(f) => Some(Scalar::Float(*f)),
        Yaml::String(s) => Some(Scalar::String(unescape(s).to_owned())),
        Yaml::Null | Yaml::List(_) | Yaml::Map(_) => None,
    }
}

/// A text that starts with `$$` is the text with one `$`: `$` alone starts a reference.
fn unescape(text: &str) -> &str {
    match text.strip_prefix('$') {
        Some(rest) if rest.starts_with('$') => rest,
        _ => text,
    }
}

/// Reads a scalar or a list of scalars; `what` is the value's name in a report.
pub(super) fn literal(
    node: &Node,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<LiteralSpec> {
    if let Some(value) = scalar(node) {
        return Some(LiteralSpec {
            list: false,
            values: vec![Spanned::new(value, node.span)],
        });
    }
    let Some(items) = node.as_list() else {
        diagnostics.push(Diagnostic::error(
            node.span,
            format!(
                "{what} must be a number, a string, a boolean or a list of them, not {}",
                node.kind()
            ),
        ));
        return None;
    };
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        if is_reference(item) {
            diagnostics.push(
                Diagnostic::error(item.span, "a list cannot hold references")
                    .help("join values with `op: concat`"),
            );
        } else if let Some(value) = scalar(item) {
            values.push(Spanned::new(value, item.span));
            continue;
        } else {
            diagnostics.push(Diagnostic::error(
                item.span,
                format!(
                    "a list holds numbers, strings or booleans, not {}",
                    item.kind()
                ),
            ));
        }
    }
    (values.len() == items.len()).then_some(LiteralSpec { list: true, values })
}

/// Returns `true` if a value is meant as a reference.
pub(super) fn is_reference(node: &Node) -> bool {
    node.as_str()
        .is_some_and(|s| s.starts_with('$') && !s.starts_with("$$"))
}
