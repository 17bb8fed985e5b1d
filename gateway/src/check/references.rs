//! The references that a node makes, itself and inside.

use motet_config::Span;

use crate::syntax::{Case, KindSpec, NodeSpec, Reference, Value};

/// A reference where it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) reference: &'a Reference,
    pub(super) span: Span,
}

/// The references of a node, without those of what stands inside it.
pub(super) fn of_node<'a>(node: &'a NodeSpec, found: &mut Vec<Written<'a>>) {
    let substitutes = node.on_error.iter().flat_map(|o| &o.substitutes);
    for named in node.inputs.iter().chain(&node.settings).chain(substitutes) {
        of_value(&named.value.value, named.value.span, found);
    }
    if let Some(when) = &node.when {
        of_condition(&when.value, found);
    }
    match node.kind.as_ref().map(|k| &k.value) {
        Some(KindSpec::Value(values)) => {
            for value in values {
                of_value(&value.value.value, value.value.span, found);
            }
        }
        Some(KindSpec::Switch(cases)) => {
            for case in cases {
                if let Case::When(when) = &case.when {
                    of_condition(&when.value, found);
                }
            }
        }
        Some(KindSpec::Split(split)) => found.extend(split.sticky.as_ref().map(|r| Written {
            reference: &r.value,
            span: r.span,
        })),
        Some(KindSpec::Map(map)) => found.extend(map.over.iter().map(|over| Written {
            reference: &over.value.value,
            span: over.value.span,
        })),
        _ => {}
    }
}

/// The references of what stands inside a node, however deep.
pub(super) fn inside_node<'a>(node: &'a NodeSpec, found: &mut Vec<Written<'a>>) {
    for body in node.kind.iter().flat_map(|kind| kind.value.bodies()) {
        for node in &body.nodes {
            of_node(node, found);
            inside_node(node, found);
        }
        let outputs = body.outputs.iter().flatten();
        found.extend(outputs.filter_map(|o| o.value.as_ref()).map(|r| Written {
            reference: &r.value,
            span: r.span,
        }));
    }
}

fn of_value<'a>(value: &'a Value, span: Span, found: &mut Vec<Written<'a>>) {
    if let Value::Reference(reference) = value {
        found.push(Written { reference, span });
    }
}

fn of_condition<'a>(condition: &'a crate::syntax::Expression, found: &mut Vec<Written<'a>>) {
    let mut references = Vec::new();
    condition.references(&mut references);
    found.extend(references.into_iter().map(|reference| Written {
        reference,
        span: reference.target.span,
    }));
}
