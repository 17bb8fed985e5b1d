//! The models and other pipelines that a pipeline calls.

use std::collections::BTreeSet;

use motet_gateway::syntax::{CallTarget, PipelineSpec};

/// The names of the models and pipelines that a pipeline calls, also from inside its nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Called {
    /// Models.
    pub(crate) models: BTreeSet<String>,
    /// Pipelines.
    pub(crate) pipelines: BTreeSet<String>,
}

impl Called {
    /// Returns the names that `pipeline` calls.
    pub(crate) fn by(pipeline: &PipelineSpec) -> Self {
        let mut called = Self::default();
        for node in &pipeline.nodes {
            node.visit_targets(&mut |target, _| {
                match target {
                    CallTarget::Model(name) => called.models.insert(name.to_owned()),
                    CallTarget::Pipeline(name) => called.pipelines.insert(name.to_owned()),
                    CallTarget::Service { .. } => false,
                };
            });
        }
        called
    }
}
