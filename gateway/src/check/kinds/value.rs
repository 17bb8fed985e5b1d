//! `value`: what is written, as a node.

use motet_config::{Diagnostic, Spanned};
use motet_proto::types::{Dim, ElementType};

use super::draft;
use crate::check::bodies::Around;
use crate::check::checker::{ArgumentDraft, Checker, Flow, KindDraft, NodeDraft, OutputPort};

use crate::check::literal::natural;

use crate::ops::{BoundOp, registry};
use crate::syntax::{LiteralSpec, NodeSpec, Value, ValueSpec};

impl Checker<'_> {
    pub(super) fn value(&mut self, node: &NodeSpec, values: &[ValueSpec]) -> Option<NodeDraft> {
        let expected = std::mem::take(&mut self.expected);
        let mut arguments = Vec::with_capacity(values.len());
        for value in values {
            let name = &value.name.value;
            let flow = match &value.value.value {
                Value::Broken => None,
                Value::Reference(reference) => {
                    self.flow(&Spanned::new(reference.clone(), value.value.span))
                }
                Value::Literal(literal) => {
                    self.written(value, literal, expected.get(name).copied())
                }
            };
            let Some(flow) = flow else { continue };
            arguments.push(ArgumentDraft {
                port: name.clone(),
                element: flow.ty.element,
                flow,
                lift: false,
            });
        }
        if arguments.len() < values.len() {
            self.incomplete = true;
            return None;
        }
        let outputs = arguments
            .iter()
            .map(|argument| OutputPort {
                name: argument.port.clone(),
                ty: Some(argument.flow.ty.clone()),
                lift: false,
                optional: argument.flow.optional,
            })
            .collect();
        let _ = node;
        let kind = KindDraft::Op(BoundOp::new(registry::identity(), 0));
        Some(NodeDraft {
            arguments,
            ..draft(kind, Around::default(), outputs)
        })
    }

    /// A literal of the type that is written, or that its sister arms have, or its own.
    fn written(
        &mut self,
        value: &ValueSpec,
        literal: &LiteralSpec,
        expected: Option<ElementType>,
    ) -> Option<Flow> {
        let name = &value.name.value;
        let span = value.value.span;
        let stated = value.ty.as_ref().map(|ty| ty.value.element);
        let Some(element) = stated.or(expected).or_else(|| natural(literal)) else {
            self.diagnostics.push(
                Diagnostic::error(span, format!("the empty list `{name}` has no type")).help(
                    format!("write for example `{name}: {{ type: \"float[0]\", value: [] }}`"),
                ),
            );
            return None;
        };
        let flow = self.literal(literal, element, &format!("`{name}`"), span)?;
        if let Some(ty) = &value.ty {
            let fits = match (ty.value.dims.as_slice(), literal.list) {
                ([], false) => true,
                ([Dim::Fixed(n)], true) => *n == literal.values.len(),
                ([Dim::Symbol(_)], true) => true,
                _ => false,
            };
            if !fits {
                let shown = self.show(&flow.ty);
                self.diagnostics.push(
                    Diagnostic::error(span, format!("`{name}` is {shown}, not {}", ty.value))
                        .also(ty.span, "the type"),
                );
                return None;
            }
        }
        Some(flow)
    }
}
