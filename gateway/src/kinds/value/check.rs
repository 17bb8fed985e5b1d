//! `value`: the types of the values.

use motet_config::{Diagnostic, Span, Spanned};
use motet_proto::types::{Dim, ElementType};

use super::syntax::{Spec, ValueSpec};
use crate::check::bodies::OuterScope;
use crate::check::checker::{ArgumentDraft, Checker, Flow, NodeDraft, OutputPort};
use crate::check::literal::natural;
use crate::check::origins::{Origin, OriginScope};
use crate::check::{CheckKind, CheckedKind, IndexFree, KindDraft};
use crate::syntax::{LiteralSpec, NodeSpec, Value};

/// Values, which are the arguments of the node and its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked;

/// Values: nothing in them needs an index.
pub(crate) type Draft = Checked;

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        _: Span,
    ) -> Option<NodeDraft> {
        let arguments = checker.values(&self.values)?;
        let outputs = arguments.iter().map(|argument| OutputPort {
            name: argument.port.clone(),
            ty: Some(argument.flow.ty.clone()),
            single_row: false,
            optional: argument.flow.optional,
        });
        let outputs = outputs.collect();
        let draft = checker.composite(
            node,
            KindDraft::Value(Checked),
            OuterScope::default(),
            outputs,
        );
        Some(NodeDraft { arguments, ..draft })
    }
}

impl IndexFree for Draft {}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        "value".to_owned()
    }

    fn shape(&self) -> &'static str {
        "ellipse"
    }

    fn output_origins(&mut self, outer: &OriginScope<'_>) -> Vec<Origin> {
        outer.arguments.to_vec()
    }
}

impl Checker<'_> {
    /// Returns the values as arguments of the node; `None` when one is not known, which was
    /// reported.
    fn values(&mut self, values: &[ValueSpec]) -> Option<Vec<ArgumentDraft>> {
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
                single_row: false,
            });
        }
        if arguments.len() < values.len() {
            self.incomplete = true;
            return None;
        }
        Some(arguments)
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
