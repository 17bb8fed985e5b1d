//! `on_error`: values in place of a node's outputs.

use motet_config::{Diagnostic, Spanned, truncated};
use motet_proto::types::ElementType;

use super::checker::{Checker, DraftSource, Flow, OnErrorDraft, OutputPort};
use super::dims::DimId;
use super::value::flows_into;
use crate::syntax::{Named, NodeSpec, OnErrorSpec, Value};

impl Checker<'_> {
    pub(crate) fn on_error(
        &mut self,
        node: &NodeSpec,
        spec: &OnErrorSpec,
        outputs: &[OutputPort],
    ) -> OnErrorDraft {
        let mut values: Vec<Option<Flow>> = outputs.iter().map(|_| None).collect();
        for substitute in &spec.substitutes {
            let name = &substitute.name.value;
            let Some(index) = outputs.iter().position(|o| o.name == *name) else {
                self.incomplete = true;
                self.diagnostics.push(
                    Diagnostic::error(
                        substitute.name.span,
                        format!(
                            "node `{}` has no output `{}`",
                            node.name.value,
                            truncated(name)
                        ),
                    )
                    .suggest(name, outputs.iter().map(|o| o.name.as_str())),
                );
                continue;
            };
            values[index] = self.substitute(node, &outputs[index], substitute);
            self.incomplete |= values[index].is_none();
        }
        OnErrorDraft {
            span: spec.span,
            values,
            mark_degraded: spec.mark_degraded,
        }
    }

    fn substitute(
        &mut self,
        node: &NodeSpec,
        output: &OutputPort,
        substitute: &Named<Spanned<Value>>,
    ) -> Option<Flow> {
        let span = substitute.value.span;
        let wanted = output.ty.as_ref();
        let flow = match &substitute.value.value {
            Value::Broken => None,
            Value::Reference(reference) => self.flow(&Spanned::new(reference.clone(), span)),
            Value::Literal(literal) => {
                let element = wanted.map_or(ElementType::String, |w| w.element);
                wanted?;
                self.literal(literal, element, &format!("`{}`", output.name), span)
            }
        }?;
        let wanted = wanted?;
        if !output.optional {
            let written = match &substitute.value.value {
                Value::Reference(reference) => reference.to_string(),
                _ => String::new(),
            };
            let what = format!("what stands for `{}`", output.name);
            self.is_present(&flow, &written, span, &what)
                .then_some(())?;
        }
        let shown = self.show(&flow.ty);
        if !flows_into(flow.ty.element, wanted.element) || flow.ty.dims.len() != wanted.dims.len() {
            let wanted = self.show(wanted);
            self.diagnostics.push(
                Diagnostic::error(
                    span,
                    format!(
                        "`{}` is {wanted}, which {shown} cannot stand for",
                        output.name
                    ),
                )
                .label(format!("this is {shown}")),
            );
            return None;
        }
        let mut fits = true;
        let label = format!("this is {shown}");
        let why = format!("what stands for `{}` must have its shape", output.name);
        // Not unified: a substitute must not restrict requests in which the node does not fail.
        for (value, wanted_dim) in flow.ty.dims.iter().zip(&wanted.dims) {
            fits &= self.compatible(*value, *wanted_dim, span, &label, &why);
        }
        if fits
            && let (DraftSource::Literal(literal), Some(first)) =
                (&flow.source, wanted.dims.first())
            && !self.length_is_own(node, *first)
        {
            let wanted = self.show(wanted);
            let n = literal.values.len();
            self.diagnostics.push(
                Diagnostic::error(
                    span,
                    format!(
                        "a list of {n} cannot stand for `{}`, which is {wanted}",
                        output.name
                    ),
                )
                .label(label)
                .note("how many there are is not this node's doing, so other values have as many")
                .help("refer to a value of the same length"),
            );
            return None;
        }
        fits.then_some(flow)
    }

    /// Returns `true` if the node itself decides a length, or it is always the same.
    fn length_is_own(&mut self, node: &NodeSpec, dim: DimId) -> bool {
        let known = self.dims.known(dim);
        let prefix = format!("{}.", node.name.value);
        known.name.is_none_or(|name| name.starts_with(&prefix))
    }
}
