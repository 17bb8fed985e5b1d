//! One node: what it calls, which arguments it gives, and which are missing.

use motet_config::{Diagnostic, Spanned, nearest, truncated};

use super::callee::{Called, Callee};
use super::checked::{Setting, SettingValue};
use super::checker::{Checker, Flow, KindDraft, NodeDraft};
use super::condition::present;
use super::kind::PipelineCall;
use super::literal::natural;
use crate::ops::BoundOp;
use crate::ops::op::CompileContext;
use crate::ops::ports::{ArgumentType, Arguments};
use crate::scalar::Scalar;
use crate::syntax::{KindSpec, Named, NodeSpec, Value};

impl<'a> Checker<'a> {
    pub(super) fn check_node(&mut self, index: usize) {
        let nodes: &'a [NodeSpec] = self.scope().nodes;
        let node = &nodes[index];
        self.long_deadline(node);
        let when = node.when.as_ref().map(|when| self.condition(when));
        // Where the node runs, its condition holds.
        let before = self.scope().present.clone();
        if let Some(when) = &node.when {
            present(&when.value, true, &mut self.scope_mut().present);
        }
        let draft = match node.kind.as_ref().map(|k| &k.value) {
            None => None,
            Some(
                KindSpec::Model(_) | KindSpec::Grpc(_) | KindSpec::Op(_) | KindSpec::Pipeline(_),
            ) => self.call(node),
            Some(kind) => self.composite(node, kind).map(|draft| NodeDraft {
                policies: self.outer_policies(node),
                ..draft
            }),
        };
        self.scope_mut().present = before;
        let (Some(mut draft), Some(when)) = (draft, when.map_or(Some(None), |w| w.map(Some)))
        else {
            self.incomplete = true;
            return;
        };
        for output in &mut draft.outputs {
            output.optional |= when.is_some();
        }
        draft.when = when;
        let outputs = draft.outputs.clone();
        self.scope_mut().drafts[index] = Some(draft);
        let on_error = node
            .on_error
            .as_ref()
            .map(|on_error| self.on_error(node, on_error, &outputs));
        if let Some(draft) = &mut self.scope_mut().drafts[index] {
            draft.on_error = on_error;
        }
    }

    /// A node that calls a model, a method, an op or a pipeline.
    fn call(&mut self, node: &NodeSpec) -> Option<NodeDraft> {
        // Values first: the ports of an op follow from them.
        let flows: Vec<Option<Flow>> = node.inputs.iter().map(|a| self.argument_flow(a)).collect();
        let arguments = op_arguments(node, &flows);
        let callee = self.callee(node, &arguments)?;
        // The fields that a method's node names are looked up with the method.
        if !matches!(callee.kind, Called::Grpc(_)) {
            self.unknown_and_missing(node, &callee);
        }
        let mut settings = self.settings(node, &callee);
        if let Called::Op(op) = callee.kind {
            self.compile_setting(op, node, &arguments, &mut settings);
        }
        let (arguments, outputs) = self.ports(node, &callee, flows);
        let policies = self.policies(node, &callee);
        let kind = match callee.kind {
            Called::Model(model) => KindDraft::Model(model),
            Called::Grpc(call) => KindDraft::Grpc(call),
            Called::Op(op) => KindDraft::Op(op),
            Called::Pipeline(name, inputs) => KindDraft::Pipeline(PipelineCall {
                name,
                inputs: arguments
                    .iter()
                    .filter_map(|a| inputs.iter().position(|i| *i == a.port))
                    .collect(),
            }),
        };
        Some(NodeDraft {
            kind,
            when: None,
            arguments,
            outputs,
            settings,
            policies,
            on_error: None,
        })
    }

    /// Checks and compiles the setting that an op reads when the pipeline is checked.
    fn compile_setting(
        &mut self,
        op: BoundOp,
        node: &NodeSpec,
        arguments: &Arguments<'_>,
        settings: &mut [Setting],
    ) {
        let Some((name, why)) = op.op().compiled_parameter() else {
            return;
        };
        let written = node.settings.iter().find(|s| s.name.value == name);
        let setting = settings.iter_mut().find(|s| s.name == name);
        let (Some(written), Some(setting)) = (written, setting) else {
            return;
        };
        let span = written.value.span;
        let SettingValue::Literal(Scalar::String(text)) = &setting.value else {
            self.incomplete = true;
            let message = format!("`{name}` must be written out");
            self.diagnostics
                .push(Diagnostic::error(span, message).help(why));
            return;
        };
        let span_of = |name: &str| {
            let argument = node.inputs.iter().find(|a| a.name.value == name);
            argument.map(|a| a.name.span)
        };
        let mut context = CompileContext {
            arguments,
            span,
            span_of: &span_of,
            report: &mut |diagnostic| self.diagnostics.push(diagnostic),
        };
        match op.op().compile(text, &mut context) {
            Some(compiled) => setting.value = SettingValue::Literal(Scalar::String(compiled)),
            None => self.incomplete = true,
        }
    }

    /// The value of an argument that is a reference.
    fn argument_flow(&mut self, argument: &Named<Spanned<Value>>) -> Option<Flow> {
        match &argument.value.value {
            Value::Reference(reference) => {
                let flow = self.flow(&Spanned::new(reference.clone(), argument.value.span));
                self.incomplete |= flow.is_none();
                flow
            }
            Value::Literal(_) | Value::Broken => None,
        }
    }

    /// Arguments without a port and ports without an argument.
    fn unknown_and_missing(&mut self, node: &NodeSpec, callee: &Callee) {
        let ports: Vec<&str> = callee.inputs.iter().map(|p| p.name.as_str()).collect();
        let free: Vec<&str> = ports
            .iter()
            .copied()
            .filter(|port| node.inputs.iter().all(|a| a.name.value != *port))
            .collect();
        let mut meant: Vec<&str> = Vec::new();
        for argument in &node.inputs {
            let name = &argument.name.value;
            if ports.contains(&name.as_str()) {
                continue;
            }
            self.incomplete = true;
            let mut diagnostic = Diagnostic::error(
                argument.name.span,
                format!("{} has no input `{}`", callee.name, truncated(name)),
            );
            // A slip of a port that is still free is one mistake, not two. A parameter here is a common one.
            let near = nearest(name, free.iter().copied());
            if callee.parameters.iter().any(|p| p.name == *name) {
                diagnostic =
                    diagnostic.help(format!("`{name}` is a parameter: put it under `with:`"));
            } else if let Some(near) = near {
                meant.push(near);
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            } else {
                diagnostic = diagnostic.suggest(name, ports.iter().copied());
            }
            self.diagnostics.push(diagnostic);
        }
        for port in &callee.inputs {
            if !port.required || !free.contains(&port.name.as_str()) {
                continue;
            }
            self.incomplete = true;
            if node.unreadable || meant.contains(&port.name.as_str()) {
                continue;
            }
            let ty = port
                .ty
                .as_ref()
                .map_or(String::new(), |ty| format!(": {ty}"));
            self.diagnostics.push(
                Diagnostic::error(
                    node.inputs_span,
                    format!(
                        "node `{}` lacks the input `{}{ty}`",
                        node.name.value, port.name
                    ),
                )
                .also(callee.span, format!("{} takes it", callee.name)),
            );
        }
    }
}

/// The arguments and settings of a node, as an op sees them.
fn op_arguments<'n>(node: &'n NodeSpec, flows: &[Option<Flow>]) -> Arguments<'n> {
    let input = |(argument, flow): (&'n Named<Spanned<Value>>, &Option<Flow>)| ArgumentType {
        name: &argument.name.value,
        ty: match (&argument.value.value, flow) {
            (Value::Literal(literal), _) => {
                natural(literal).map(|e| (e, usize::from(literal.list)))
            }
            (_, Some(flow)) => Some((flow.ty.element, flow.ty.dims.len())),
            (_, None) => None,
        },
        literal: matches!(argument.value.value, Value::Literal(_)),
    };
    let setting = |setting: &'n Named<Spanned<Value>>| {
        let value = match &setting.value.value {
            Value::Literal(literal) => match literal.values.as_slice() {
                [value] if !literal.list => Some(&value.value),
                _ => None,
            },
            Value::Reference(_) | Value::Broken => None,
        };
        (setting.name.value.as_str(), value)
    };
    Arguments {
        inputs: node.inputs.iter().zip(flows).map(input).collect(),
        settings: node.settings.iter().map(setting).collect(),
    }
}
