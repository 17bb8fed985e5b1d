//! `op`: the signature of the op, which may follow from its arguments, and the node that runs it.

use motet_config::{Diagnostic, Span, Spanned, nearest};

use super::syntax::Spec;
use crate::check::callee::{Callee, CalleePort};
use crate::check::checker::{Checker, Flow, NodeDraft};
use crate::check::literal::natural;
use crate::check::origins::{Origin, OriginScope};
use crate::check::policy::UnsupportedPolicies;
use crate::check::{CheckKind, CheckedKind, IndexFree, KindDraft, Setting, SettingValue};
use crate::ops::op::{CompileContext, Op, signature};
use crate::ops::ports::{ArgumentType, Arguments, OpPort, Signature};
use crate::ops::{BoundOp, registry};
use crate::scalar::Scalar;
use crate::syntax::{Named, NodeSpec, Value};

/// An op in the form that its arguments choose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checked {
    /// The op.
    pub op: BoundOp,
}

/// An op: nothing in it needs an index.
pub(crate) type Draft = Checked;

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        span: Span,
    ) -> Option<NodeDraft> {
        // Values first: the ports of an op follow from them.
        let flows = checker.argument_flows(node);
        let arguments = arguments(node, &flows);
        let (op, signature) = checker.op(&self.op, span, node, &arguments)?;
        let op = BoundOp::new(op, signature.form);
        let callee = callee(&self.op, span, signature);
        checker.unknown_and_missing(node, &callee);
        let mut settings = checker.settings(node, &callee);
        checker.compile_setting(op, node, &arguments, &mut settings);
        Some(checker.call(node, &callee, flows, settings, |_| {
            KindDraft::Op(Draft { op })
        }))
    }
}

impl IndexFree for Draft {}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        format!("op {}", self.op.name())
    }

    fn shape(&self) -> &'static str {
        "ellipse"
    }

    fn output_origins(&mut self, outer: &OriginScope<'_>) -> Vec<Origin> {
        let of_output = |output| {
            let inputs = self.op.op().inputs_of(output, outer.arguments.len());
            let inputs = inputs.iter().filter_map(|i| outer.arguments.get(*i));
            Origin::of_all(inputs).join(&outer.settings)
        };
        (0..outer.outputs).map(of_output).collect()
    }
}

fn callee(name: &str, span: Span, signature: Signature) -> Callee {
    let ports = |ports: Vec<OpPort>| ports.into_iter().map(CalleePort::from).collect();
    Callee {
        name: format!("op `{name}`"),
        span,
        inputs: ports(signature.inputs),
        outputs: ports(signature.outputs),
        parameters: signature.parameters,
        is_remote: false,
        takes_single_rows: false,
        fills_parameters: true,
        unsupported_policies: UnsupportedPolicies {
            keys: &["retry", "hedge", "cache", "priority"],
            note: "an op comes to the same each time",
        },
    }
}

impl From<OpPort> for CalleePort {
    fn from(port: OpPort) -> Self {
        Self {
            name: port.name,
            ty: port.ty,
            required: true,
            optional: port.optional,
            about: None,
        }
    }
}

impl Checker<'_> {
    /// Returns an op and its signature for these arguments; `None` when it takes none such or there
    /// is no such op, which is reported.
    fn op(
        &mut self,
        name: &str,
        span: Span,
        node: &NodeSpec,
        arguments: &Arguments<'_>,
    ) -> Option<(&'static dyn Op, Signature)> {
        let Some(op) = registry::find(name) else {
            let help = match nearest(name, registry::names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`motet check --ops` lists all ops".to_owned(),
            };
            let message = format!("no op is named `{name}`");
            self.diagnostics
                .push(Diagnostic::error(span, message).help(help));
            return None;
        };
        match signature(op, arguments) {
            Ok(signature) => Some((op, signature)),
            Err(error) => {
                let argument = error
                    .input
                    .as_ref()
                    .and_then(|input| node.inputs.iter().find(|a| a.name.value == *input));
                let at = argument.map_or(node.inputs_span, |a| a.value.span);
                let mut diagnostic = Diagnostic::error(at, error.message);
                if let Some(help) = error.help {
                    diagnostic = diagnostic.help(help);
                }
                self.diagnostics.push(diagnostic);
                None
            }
        }
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
}

/// Returns the arguments and settings of a node, as an op sees them.
fn arguments<'n>(node: &'n NodeSpec, flows: &[Option<Flow>]) -> Arguments<'n> {
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
