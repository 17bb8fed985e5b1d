//! `pipeline`: inputs and outputs of the called pipeline, and the node that calls it.

use std::sync::Arc;

use motet_config::{Diagnostic, Span};

use super::syntax::Spec;
use crate::check::callee::{Callee, CalleePort};
use crate::check::checker::{Checker, NodeDraft};
use crate::check::origins::{Origin, OriginScope};
use crate::check::policy::UnsupportedPolicies;
use crate::check::{
    CheckKind, CheckedKind, CheckedPipeline, IndexFree, KindDraft, SignatureError, ValueType,
};
use crate::syntax::{CallTarget, NodeSpec};

/// A call of another pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The name of the pipeline.
    pub pipeline: String,
    /// For each of the node's arguments, the index of the pipeline's input that it is for.
    pub inputs: Vec<usize>,
}

/// A call of a pipeline: nothing in it needs an index.
pub(crate) type Draft = Checked;

impl CheckKind for Spec {
    fn check<'a>(
        &'a self,
        checker: &mut Checker<'a>,
        node: &'a NodeSpec,
        span: Span,
    ) -> Option<NodeDraft> {
        let flows = checker.argument_flows(node);
        let pipeline = checker.called_pipeline(&self.pipeline, span)?;
        let callee = callee(&pipeline, &self.pipeline, span);
        checker.unknown_and_missing(node, &callee);
        let settings = checker.settings(node, &callee);
        Some(checker.call(node, &callee, flows, settings, |arguments| {
            let index = |port: &str| pipeline.inputs.iter().position(|i| i.name == port);
            KindDraft::Pipeline(Draft {
                pipeline: self.pipeline.clone(),
                inputs: arguments.iter().filter_map(|a| index(&a.port)).collect(),
            })
        }))
    }
}

impl IndexFree for Draft {}

impl CheckedKind for Checked {
    fn label(&self) -> String {
        format!("pipeline {}", self.pipeline)
    }

    fn shape(&self) -> &'static str {
        "box3d"
    }

    fn target(&self) -> Option<CallTarget<'_>> {
        Some(CallTarget::Pipeline(&self.pipeline))
    }

    fn output_origins(&mut self, outer: &OriginScope<'_>) -> Vec<Origin> {
        outer.computed()
    }
}

fn callee(pipeline: &CheckedPipeline, name: &str, span: Span) -> Callee {
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
    Callee {
        name: format!("pipeline `{name}`"),
        span,
        inputs: inputs.collect(),
        outputs: outputs.collect(),
        parameters: Vec::new(),
        is_remote: false,
        takes_single_rows: false,
        fills_parameters: false,
        unsupported_policies: UnsupportedPolicies {
            keys: &["retry", "hedge", "cache"],
            note: "its own nodes can say so",
        },
    }
}

impl Checker<'_> {
    /// Returns a pipeline that a node calls; `None` when it cannot be called, which is reported.
    fn called_pipeline(&mut self, name: &str, span: Span) -> Option<Arc<CheckedPipeline>> {
        let error = match self.signatures.pipeline(name) {
            Ok(pipeline) => return Some(pipeline),
            Err(error) => error,
        };
        let diagnostic = match error {
            SignatureError::Unknown { mut known } => {
                known.retain(|other| *other != self.spec.name.value);
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
        None
    }
}
