//! `model`: the signature of the model, and the node that calls it.

use std::sync::Arc;

use motet_config::{Diagnostic, Span, Spanned};
use motet_proto::signature::{Port, Signature};
use motet_proto::types::Dim;

use super::syntax::Spec;
use crate::check::callee::{Callee, CalleePort};
use crate::check::checker::{Checker, NodeDraft};
use crate::check::origins::{Origin, OriginScope};
use crate::check::policy::UnsupportedPolicies;
use crate::check::{
    CheckKind, CheckedKind, IndexFree, KindDraft, Setting, SettingValue, SignatureError,
};
use crate::scalar::Scalar;
use crate::syntax::{CallTarget, NodeSpec};

/// A call of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The name of the model, with its version where one is chosen.
    pub model: String,
}

/// A call of a model: nothing in it needs an index.
pub(crate) type Draft = Checked;

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        span: Span,
    ) -> Option<NodeDraft> {
        let flows = checker.argument_flows(node);
        let signature = checker.model(&Spanned::new(self.model.as_str(), span))?;
        let mut callee = callee(&self.model, span, &signature);
        checker.unknown_and_missing(node, &callee);
        let settings = checker.settings(node, &callee);
        set_lengths(&mut callee, &settings);
        Some(checker.call(node, &callee, flows, settings, |_| {
            KindDraft::Model(Draft {
                model: self.model.clone(),
            })
        }))
    }
}

impl IndexFree for Draft {}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        format!("model {}", self.model)
    }

    fn shape(&self) -> &'static str {
        "box"
    }

    fn target(&self) -> Option<CallTarget<'_>> {
        Some(CallTarget::Model(&self.model))
    }

    fn output_origins(&mut self, outer: &OriginScope<'_>) -> Vec<Origin> {
        outer.computed()
    }
}

fn callee(name: &str, span: Span, signature: &Signature) -> Callee {
    let port = |port: &Port| CalleePort {
        name: port.name.clone(),
        ty: Some(port.ty.clone()),
        required: true,
        optional: false,
        about: None,
    };
    Callee {
        name: format!("model `{name}`"),
        span,
        inputs: signature.inputs.iter().map(port).collect(),
        outputs: signature.outputs.iter().map(port).collect(),
        parameters: signature.parameters.clone(),
        is_remote: true,
        takes_single_rows: true,
        fills_parameters: false,
        unsupported_policies: UnsupportedPolicies {
            keys: &[],
            note: "",
        },
    }
}

/// Puts the lengths that the node's settings give to dimensions of the outputs into their types: a
/// number where it is written out, else a symbol.
fn set_lengths(callee: &mut Callee, settings: &[Setting]) {
    let Callee {
        outputs,
        parameters,
        ..
    } = callee;
    for parameter in parameters {
        let Some(setting) = settings.iter().find(|s| s.name == parameter.name) else {
            continue;
        };
        let length = match &setting.value {
            SettingValue::Literal(Scalar::Int(length)) => {
                usize::try_from(*length).ok().map(Dim::Fixed)
            }
            SettingValue::Literal(_) => None,
            SettingValue::Input { .. } => Some(Dim::Symbol(parameter.name.clone())),
        };
        for set in &parameter.sets_length {
            let output = outputs.iter_mut().find(|port| port.name == set.output);
            let ty = output.and_then(|port| port.ty.as_mut());
            let dim = ty.and_then(|ty| ty.dims.get_mut(set.axis));
            if let (Some(dim), Some(length)) = (dim, &length) {
                dim.clone_from(length);
            }
        }
    }
}

impl Checker<'_> {
    /// Returns the signature of a model; `None` when it cannot be had, which is reported.
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
}
