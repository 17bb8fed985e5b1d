//! What a node calls, model, method, op or pipeline, as one kind of signature.

use std::sync::Arc;

use motet_config::{Diagnostic, Span, Spanned, nearest};
use motet_proto::signature::{Parameter, Signature};
use motet_proto::types::TensorType;

use super::checked::ValueType;
use super::checker::Checker;
use super::kind::GrpcCall;
use super::signatures::SignatureError;
use crate::ops::ports::{Arguments, OpPort};
use crate::ops::{BoundOp, registry};
use crate::syntax::{KindSpec, NodeSpec};

/// What a node calls.
pub(super) struct Callee {
    /// In messages: ``model `minilm` `` or ``op `topk` ``.
    pub(super) name: String,
    /// Where the node says it.
    pub(super) span: Span,
    pub(super) kind: Called,
    pub(super) inputs: Vec<CalleePort>,
    pub(super) outputs: Vec<CalleePort>,
    pub(super) parameters: Vec<Parameter>,
}

/// What a callee is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Called {
    Model(String),
    Grpc(Box<GrpcCall>),
    Op(BoundOp),
    /// A pipeline, with the names of its inputs.
    Pipeline(String, Vec<String>),
}

/// A port of a callee; the type is `None` where it follows from an argument that is not known.
#[derive(Debug, Clone)]
pub(super) struct CalleePort {
    pub(super) name: String,
    pub(super) ty: Option<TensorType>,
    /// Whether the node must give it.
    pub(super) required: bool,
    /// Whether it may be absent.
    pub(super) optional: bool,
    /// Where its type comes from, if that is not written where the callee is.
    pub(super) about: Option<String>,
}

impl Callee {
    /// Whether a scalar for a list port gives a scalar back.
    pub(super) const fn lifts(&self) -> bool {
        matches!(self.kind, Called::Model(_))
    }

    /// Whether it is a call, which a `map` can make for each element.
    pub(super) const fn is_called(&self) -> bool {
        matches!(self.kind, Called::Model(_) | Called::Grpc(_))
    }
}

impl Checker<'_> {
    /// What a node calls; `None` when that cannot be told, which is then reported.
    pub(super) fn callee(&mut self, node: &NodeSpec, arguments: &Arguments<'_>) -> Option<Callee> {
        let kind = node.kind.as_ref()?;
        match &kind.value {
            KindSpec::Model(name) => {
                let signature = self.model(&Spanned::new(name.as_str(), kind.span))?;
                Some(of_model(name, kind.span, &signature))
            }
            KindSpec::Grpc(grpc) => self.grpc(node, grpc, kind.span),
            KindSpec::Op(name) => self.op(name, kind.span, node, arguments),
            KindSpec::Pipeline(name) => self.pipeline(name, kind.span),
            // What holds other nodes calls nothing itself.
            _ => None,
        }
    }

    fn model(&mut self, name: &Spanned<&str>) -> Option<Arc<Signature>> {
        match self.signatures.model(name.value) {
            Ok(signature) => Some(signature),
            Err(SignatureError::Unknown { known }) => {
                let mut diagnostic = Diagnostic::error(
                    name.span,
                    format!(
                        "no model is named `{}`",
                        motet_config::truncated(name.value)
                    ),
                );
                diagnostic = if known.is_empty() {
                    diagnostic.help("the configuration has no models: add it under `models:`")
                } else {
                    diagnostic.suggest(name.value, known.iter().map(String::as_str))
                };
                self.diagnostics.push(diagnostic);
                None
            }
            Err(SignatureError::Mistaken) => None,
            Err(SignatureError::Unavailable { reason }) => {
                let message = format!("what model `{}` takes and gives cannot be told", name.value);
                let diagnostic = if self.offline {
                    Diagnostic::warning(name.span, message)
                } else {
                    Diagnostic::error(name.span, message)
                };
                self.diagnostics.push(diagnostic.note(reason));
                None
            }
        }
    }

    fn pipeline(&mut self, name: &str, span: Span) -> Option<Callee> {
        let pipeline = match self.signatures.pipeline(name) {
            Ok(pipeline) => pipeline,
            Err(error) => {
                let diagnostic = match error {
                    SignatureError::Unknown { known } => {
                        let diagnostic = Diagnostic::error(
                            span,
                            format!("no pipeline is named `{}`", motet_config::truncated(name)),
                        );
                        if known.is_empty() {
                            diagnostic.help("there are no other pipelines")
                        } else {
                            diagnostic.suggest(name, known.iter().map(String::as_str))
                        }
                    }
                    SignatureError::Mistaken => return None,
                    SignatureError::Unavailable { reason } => {
                        Diagnostic::error(span, format!("the pipeline `{name}` cannot be called"))
                            .note(reason)
                    }
                };
                self.diagnostics.push(diagnostic);
                return None;
            }
        };
        let port = |name: &str, ty: &ValueType, required, optional| CalleePort {
            name: name.to_owned(),
            ty: Some(pipeline.tensor_type(ty)),
            required,
            optional,
            about: None,
        };
        let inputs = pipeline.inputs.iter().map(|input| {
            let required = input.default.is_none() && !input.optional;
            port(&input.name, &input.ty, required, input.optional)
        });
        let outputs = pipeline
            .columns()
            .map(|(name, column)| port(&name, &column.ty, true, column.optional));
        let names = pipeline.inputs.iter().map(|i| i.name.clone());
        Some(Callee {
            name: format!("pipeline `{name}`"),
            span,
            kind: Called::Pipeline(name.to_owned(), names.collect()),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            parameters: Vec::new(),
        })
    }

    fn op(
        &mut self,
        name: &str,
        span: Span,
        node: &NodeSpec,
        arguments: &Arguments<'_>,
    ) -> Option<Callee> {
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
        let signature = match op.signature(arguments) {
            Ok(signature) => signature,
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
                return None;
            }
        };
        Some(Callee {
            name: format!("op `{name}`"),
            span,
            kind: Called::Op(BoundOp::new(op, signature.form)),
            inputs: signature.inputs.into_iter().map(CalleePort::from).collect(),
            outputs: signature
                .outputs
                .into_iter()
                .map(CalleePort::from)
                .collect(),
            parameters: signature.parameters,
        })
    }
}

fn of_model(name: &str, span: Span, signature: &Signature) -> Callee {
    let ports = |ports: &[motet_proto::signature::Port]| {
        ports
            .iter()
            .map(|port| CalleePort {
                name: port.name.clone(),
                ty: Some(port.ty.clone()),
                required: true,
                optional: false,
                about: None,
            })
            .collect()
    };
    Callee {
        name: format!("model `{name}`"),
        span,
        kind: Called::Model(name.to_owned()),
        inputs: ports(&signature.inputs),
        outputs: ports(&signature.outputs),
        parameters: signature.parameters.clone(),
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
