//! The references that a node makes, itself and inside.

use motet_config::Span;

use crate::syntax::{NodeSpec, Value, WrittenReference as Written};

/// Adds the references of a node, without those inside its bodies.
pub(crate) fn of_node<'a>(node: &'a NodeSpec, found: &mut Vec<Written<'a>>) {
    let substitutes = node.on_error.iter().flat_map(|o| &o.substitutes);
    for named in node.inputs.iter().chain(&node.settings).chain(substitutes) {
        of_value(&named.value.value, named.value.span, found);
    }
    if let Some(when) = &node.when {
        found.extend(Written::of_condition(&when.value));
    }
    if let Some(kind) = &node.kind {
        found.extend(kind.value.syntax().references());
    }
}

/// Adds the references inside the bodies of a node, at every depth.
pub(crate) fn inside_node<'a>(node: &'a NodeSpec, found: &mut Vec<Written<'a>>) {
    for body in node.kind.iter().flat_map(|kind| kind.value.bodies()) {
        for node in &body.nodes {
            of_node(node, found);
            inside_node(node, found);
        }
        let outputs = body.outputs.iter().flatten();
        found.extend(outputs.filter_map(|o| o.value.as_ref()).map(Written::from));
    }
}

fn of_value<'a>(value: &'a Value, span: Span, found: &mut Vec<Written<'a>>) {
    if let Value::Reference(reference) = value {
        found.push(Written { reference, span });
    }
}
