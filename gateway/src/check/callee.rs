//! What a node calls, model or op, as one kind of signature.

use std::sync::Arc;

use motet_proto::signature::{Parameter, Signature};
use motet_proto::types::TensorType;
use motet_runtime::config::{Diagnostic, Span, Spanned};

use super::checked::NodeKind;
use super::signatures::SignatureError;
use super::state::Checker;
use crate::ops::signature::{FormError, Given, OpPort, resolve};
use crate::ops::{OPS, OPS_NOT_YET};
use crate::spec::{KindSpec, NodeSpec};

/// What a node calls.
pub(super) struct Callee {
    /// In messages: ``model `minilm` `` or ``op `topk` ``.
    pub(super) name: String,
    /// Where the node says it.
    pub(super) span: Span,
    pub(super) kind: NodeKind,
    pub(super) inputs: Vec<CalleePort>,
    pub(super) outputs: Vec<CalleePort>,
    pub(super) parameters: Vec<Parameter>,
}

/// A port of a callee; the type is `None` where it follows from an argument that is not known.
#[derive(Debug, Clone)]
pub(super) struct CalleePort {
    pub(super) name: String,
    pub(super) ty: Option<TensorType>,
}

impl Callee {
    /// Whether a scalar for a list port gives a scalar back.
    pub(super) const fn lifts(&self) -> bool {
        matches!(self.kind, NodeKind::Model(_))
    }
}

impl Checker<'_> {
    /// What a node calls; `None` when that cannot be told, which is then reported.
    pub(super) fn callee(&mut self, node: &NodeSpec, given: &[Given<'_>]) -> Option<Callee> {
        let kind = node.kind.as_ref()?;
        match &kind.value {
            KindSpec::Model(name) => {
                let signature = self.model(&Spanned::new(name.as_str(), kind.span))?;
                Some(of_model(name, kind.span, &signature))
            }
            KindSpec::Op(name) => self.op(name, kind.span, node, given),
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
                        motet_runtime::config::shown(name.value)
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

    fn op(
        &mut self,
        name: &str,
        span: Span,
        node: &NodeSpec,
        given: &[Given<'_>],
    ) -> Option<Callee> {
        let signature = match resolve(name, given) {
            Ok(signature) => signature,
            Err(error) => {
                let at = |port: &str| {
                    let argument = node.inputs.iter().find(|a| a.name.value == port);
                    argument.map_or(span, |a| a.value.span)
                };
                let diagnostic = match &error {
                    FormError::Unknown(name) if OPS_NOT_YET.contains(&name.as_str()) => {
                        Diagnostic::error(
                            span,
                            format!(
                                "the op `{name}` is not supported yet by this version of motet"
                            ),
                        )
                    }
                    FormError::Unknown(name) => Diagnostic::error(span, error.to_string())
                        .suggest(name, OPS.iter().map(|op| op.name)),
                    FormError::ConcatMixed { scalar } => {
                        Diagnostic::error(at(scalar), error.to_string())
                            .help("write all inputs as lists, or all as strings")
                    }
                    FormError::ConcatScalar { name, .. } => {
                        Diagnostic::error(at(name), error.to_string())
                    }
                    FormError::NoColumn(_) | FormError::NoInput(_) => {
                        Diagnostic::error(node.inputs_span, error.to_string())
                    }
                };
                self.diagnostics.push(diagnostic);
                return None;
            }
        };
        Some(Callee {
            name: format!("op `{name}`"),
            span,
            kind: NodeKind::Op(signature.kind),
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
            })
            .collect()
    };
    Callee {
        name: format!("model `{name}`"),
        span,
        kind: NodeKind::Model(name.to_owned()),
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
        }
    }
}
