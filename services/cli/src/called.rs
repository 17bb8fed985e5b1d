//! The models and other pipelines that a pipeline calls.

use std::collections::BTreeSet;

use motet_gateway::syntax::{KindSpec, NodeSpec, PipelineSpec};

/// The names of the models and pipelines that a pipeline calls, also from inside its nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Called {
    /// Models.
    pub models: BTreeSet<String>,
    /// Pipelines.
    pub pipelines: BTreeSet<String>,
}

impl Called {
    /// The names that `pipeline` calls.
    pub fn by(pipeline: &PipelineSpec) -> Self {
        let mut called = Self::default();
        pipeline.nodes.iter().for_each(|node| called.add(node));
        called
    }

    /// The depth of the recursion is that of the file, which the reader limits.
    fn add(&mut self, node: &NodeSpec) {
        let Some(kind) = &node.kind else { return };
        match &kind.value {
            KindSpec::Model(name) => {
                self.models.insert(name.clone());
            }
            KindSpec::Pipeline(name) => {
                self.pipelines.insert(name.clone());
            }
            _ => {}
        }
        for body in kind.value.bodies() {
            body.nodes.iter().for_each(|node| self.add(node));
        }
    }
}
