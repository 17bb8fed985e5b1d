//! `on_error`: values in place of a node's outputs.

use motet_proto::types::ElementType;
use motet_runtime::config::{Diagnostic, Spanned, shown};

use super::callee::Callee;
use super::flow::flows_into;
use super::state::{Checker, Flow, OnErrorDraft, OutputPort};
use crate::spec::{Named, OnErrorSpec, Value};

impl Checker<'_> {
    pub(super) fn on_error(
        &mut self,
        node: usize,
        spec: &OnErrorSpec,
        callee: &Callee,
    ) -> Option<OnErrorDraft> {
        let outputs: Vec<OutputPort> = self.nodes[node].as_ref()?.outputs.clone();
        let mut values: Vec<Option<Flow>> = outputs.iter().map(|_| None).collect();
        for substitute in &spec.substitutes {
            let name = &substitute.name.value;
            let Some(index) = outputs.iter().position(|o| o.name == *name) else {
                self.incomplete = true;
                self.diagnostics.push(
                    Diagnostic::error(
                        substitute.name.span,
                        format!("{} has no output `{}`", callee.name, shown(name)),
                    )
                    .suggest(name, outputs.iter().map(|o| o.name.as_str())),
                );
                continue;
            };
            values[index] = self.substitute(&outputs[index], substitute);
            self.incomplete |= values[index].is_none();
        }
        Some(OnErrorDraft {
            span: spec.span,
            values,
            mark_degraded: spec.mark_degraded,
        })
    }

    fn substitute(
        &mut self,
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
        for (value, wanted_dim) in flow.ty.dims.iter().zip(&wanted.dims) {
            let why = format!("what stands for `{}` must have its shape", output.name);
            fits &= self.unify(*value, *wanted_dim, span, &format!("this is {shown}"), &why);
        }
        fits.then_some(flow)
    }
}
