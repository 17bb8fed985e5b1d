//! Binds a checked pipeline to the models, pipelines and endpoints that its nodes call.

use std::sync::Arc;

use motet_runtime::metrics::Metrics;

use super::{FollowUps, Graph, NodeLatencies, Plan, SplitState, Step, Topology};
use crate::call::PolicyClient;
use crate::check::{Body, CheckedPipeline, Composition, CompositionError, Node, NodeKind, Source};
use crate::grpc::{Method, Remote};
use crate::model::{Backend, ModelClient};
use crate::syntax::EndpointRef;

/// Why a checked pipeline cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A node calls something that is not served.
    #[error("pipeline {pipeline}, node {node}: there is no {what} `{name}`")]
    Missing {
        /// The pipeline.
        pipeline: String,
        /// The node.
        node: String,
        /// The sort of thing that is called: a model, a pipeline or an endpoint.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The pipeline and those that it calls are too much for one request.
    #[error(transparent)]
    Composition(#[from] CompositionError),
}

/// Looks up what the nodes of a plan call.
pub trait Bind {
    /// Returns the model `name`.
    fn model(&self, name: &str) -> Option<Backend>;

    /// Returns the pipeline `name`.
    fn pipeline(&self, name: &str) -> Option<Arc<Plan>>;

    /// Returns the server of an endpoint.
    fn endpoint(&self, endpoint: &EndpointRef) -> Option<Remote> {
        let _ = endpoint;
        None
    }
}

impl<F: Fn(&str) -> Option<Backend>> Bind for F {
    fn model(&self, name: &str) -> Option<Backend> {
        self(name)
    }

    fn pipeline(&self, _: &str) -> Option<Arc<Plan>> {
        None
    }
}

impl Plan {
    /// Binds the nodes of a pipeline to what they call.
    ///
    /// # Errors
    /// When `bind` has no model, pipeline or endpoint of a name that a node calls, or when the
    /// pipelines that are called are too many for one request.
    pub fn new(
        pipeline: impl Into<Arc<CheckedPipeline>>,
        bind: impl Bind,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, BindError> {
        let pipeline: Arc<CheckedPipeline> = pipeline.into();
        let called = |name: &str| Some(bind.pipeline(name)?.composition.clone());
        let composition = Composition::of(&pipeline.name, &pipeline.nodes, called)?;
        let results = pipeline.values().map(|column| &column.source);
        let binder = Binder {
            pipeline: &pipeline.name,
            bind: &bind,
            metrics,
        };
        let graph = binder.graph(&pipeline.nodes, results)?;
        let mut backends = Vec::new();
        graph.collect_backends(&mut backends);
        Ok(Arc::new(Self {
            graph,
            composition,
            backends,
            pipeline,
        }))
    }
}

struct Binder<'a> {
    pipeline: &'a str,
    bind: &'a dyn Bind,
    metrics: &'a Metrics,
}

impl Binder<'_> {
    fn graph<'s>(
        &self,
        nodes: &[Node],
        results: impl Iterator<Item = &'s Source>,
    ) -> Result<Graph, BindError> {
        let steps = nodes.iter().map(|node| self.step(node));
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        Ok(Graph {
            follow_ups: FollowUps::new(nodes),
            latencies: NodeLatencies::new(steps.len(), self.metrics.refusals(self.pipeline)),
            steps,
            topology: Topology::new(nodes, results),
            metrics: nodes
                .iter()
                .map(|node| self.metrics.node(self.pipeline, &node.name))
                .collect(),
        })
    }

    fn step(&self, node: &Node) -> Result<Step, BindError> {
        let unbound = |what, name: &str| BindError::Missing {
            pipeline: self.pipeline.to_owned(),
            node: node.name.clone(),
            what,
            name: name.to_owned(),
        };
        let bodies = || -> Result<Vec<_>, _> {
            let bodies = node.kind.bodies();
            bodies.into_iter().map(|b| self.body(b)).collect()
        };
        Ok(match &node.kind {
            NodeKind::Op(op) => Step::Op(*op),
            NodeKind::Model(model) => {
                let backend = self.bind.model(model);
                let backend = backend.ok_or_else(|| unbound("model", model))?;
                let upstream = ModelClient::new(backend, self.pipeline, node, self.metrics);
                Step::Model(Box::new(upstream))
            }
            NodeKind::Grpc(call) => {
                let method = self.bind.endpoint(&call.endpoint).and_then(|remote| {
                    Method::new(remote, &call.path, call.response.clone(), call.messages_max).ok()
                });
                let method =
                    method.ok_or_else(|| unbound("endpoint", &call.endpoint.to_string()))?;
                let calls = PolicyClient::new(
                    method,
                    self.pipeline,
                    &node.name,
                    &node.policies,
                    self.metrics,
                );
                Step::Grpc(Box::new(calls))
            }
            NodeKind::Pipeline(call) => {
                let plan = self.bind.pipeline(&call.name);
                Step::Pipeline(plan.ok_or_else(|| unbound("pipeline", &call.name))?)
            }
            NodeKind::Split(split) => {
                let shadows = SplitState::new(self.pipeline, &node.name, split, self.metrics);
                Step::Split(bodies()?, shadows)
            }
            NodeKind::Fallback(_)
            | NodeKind::Switch(_)
            | NodeKind::Ensemble(_)
            | NodeKind::Map(_) => Step::Bodies(bodies()?),
        })
    }

    fn body(&self, body: &Body) -> Result<Arc<Graph>, BindError> {
        let graph = self.graph(&body.nodes, body.results.iter().flatten())?;
        Ok(Arc::new(graph))
    }
}
