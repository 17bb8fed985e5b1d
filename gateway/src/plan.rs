//! A checked pipeline made ready to run: models bound to backends, and who waits for whom.

use std::sync::Arc;
use std::time::Duration;

use motet_runtime::metrics::{CallMetrics, Metrics};

use crate::backend::Backend;
use crate::check::{CheckedPipeline, NodeKind};
use crate::ops::OpKind;
use crate::upstream::Upstream;

/// What the executor runs. Immutable; requests share it.
#[derive(Debug)]
pub struct Plan {
    /// The pipeline as checked.
    pub pipeline: CheckedPipeline,
    /// What each node runs, by index.
    pub steps: Vec<Step>,
    /// For each node, the nodes whose arguments need it.
    pub dependents: Vec<Vec<usize>>,
    /// What counts and times each node, by index.
    pub metrics: Vec<CallMetrics>,
}

/// What a node runs.
#[derive(Debug)]
pub enum Step {
    /// A call of a model.
    Model(Box<Upstream>),
    /// An op in this process.
    Op(OpKind),
}

/// A pipeline that calls a model nobody serves.
#[derive(Debug, thiserror::Error)]
#[error("pipeline {pipeline}, node {node}: there is no model `{model}`")]
pub struct UnboundModel {
    /// The pipeline.
    pub pipeline: String,
    /// The node.
    pub node: String,
    /// The model.
    pub model: String,
}

impl Plan {
    /// Binds the models of a pipeline.
    ///
    /// # Errors
    /// When `backend` knows no model of a name that a node calls.
    pub fn new(
        pipeline: CheckedPipeline,
        backend: impl Fn(&str) -> Option<Backend>,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, UnboundModel> {
        let mut dependents = vec![Vec::new(); pipeline.nodes.len()];
        let mut steps = Vec::with_capacity(pipeline.nodes.len());
        for (index, node) in pipeline.nodes.iter().enumerate() {
            for &needed in &node.dependencies {
                dependents[needed].push(index);
            }
            steps.push(match &node.kind {
                NodeKind::Op(kind) => Step::Op(*kind),
                NodeKind::Model(model) => {
                    let backend = backend(model).ok_or_else(|| UnboundModel {
                        pipeline: pipeline.name.clone(),
                        node: node.name.clone(),
                        model: model.clone(),
                    })?;
                    let upstream = Upstream::new(backend, &pipeline.name, node, metrics);
                    Step::Model(Box::new(upstream))
                }
            });
        }
        let metrics = pipeline
            .nodes
            .iter()
            .map(|node| metrics.node(&pipeline.name, &node.name))
            .collect();
        Ok(Arc::new(Self {
            pipeline,
            metrics,
            steps,
            dependents,
        }))
    }

    /// The backends of the nodes that call a model, in the nodes' order.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.steps.iter().filter_map(|step| match step {
            Step::Model(upstream) => Some(upstream.backend()),
            Step::Op(_) => None,
        })
    }

    /// How long a request may take when the client leaves `asked`: the pipeline's default where
    /// it does not say, and never more than the pipeline's maximum.
    pub fn timeout(&self, asked: Option<Duration>) -> Duration {
        let limits = self.pipeline.deadline;
        asked.unwrap_or(limits.default).min(limits.max)
    }
}
