//! Binds a checked pipeline to the models, pipelines and endpoints that its nodes call.

use std::sync::Arc;

use motet_runtime::metrics::Metrics;

use super::{BoundBody, BoundNode, Edges, FollowUps, Graph, NodeLatencies, Plan, Step, Topology};
use crate::check::{Body, CheckedPipeline, Composition, CompositionError, Node, Source};
use crate::grpc::EndpointClient;
use crate::model::Backend;
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
    fn endpoint(&self, endpoint: &EndpointRef) -> Option<EndpointClient> {
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

/// Binds the nodes of one pipeline.
pub(crate) struct Binder<'a> {
    /// The name of the pipeline.
    pub(crate) pipeline: &'a str,
    /// Looks up what the nodes call.
    pub(crate) bind: &'a dyn Bind,
    /// Where the metrics of the nodes are registered.
    pub(crate) metrics: &'a Metrics,
}

impl Binder<'_> {
    fn graph<'s>(
        &self,
        nodes: &[Arc<Node>],
        results: impl Iterator<Item = &'s Source>,
    ) -> Result<Graph, BindError> {
        let edges = nodes.iter().map(|node| Edges::from(&**node)).collect();
        let bound = nodes.iter().map(|node| {
            Ok(BoundNode {
                step: Step::bind(node, self)?,
                metrics: self.metrics.node(self.pipeline, &node.name),
                node: node.clone(),
            })
        });
        Ok(Graph {
            nodes: bound.collect::<Result<_, BindError>>()?,
            follow_ups: FollowUps::new(nodes),
            latencies: NodeLatencies::new(nodes.len(), self.metrics.refusals(self.pipeline)),
            topology: Topology::new(edges, results),
        })
    }

    /// Binds a body inside a node.
    pub(crate) fn body(&self, body: &Body) -> Result<BoundBody, BindError> {
        Ok(BoundBody {
            name: body.name.clone(),
            graph: self.graph(&body.nodes, body.results.iter().flatten())?,
            results: body.results.clone(),
        })
    }

    /// Binds bodies inside a node.
    pub(crate) fn bodies<'b>(
        &self,
        bodies: impl IntoIterator<Item = &'b Body>,
    ) -> Result<Vec<BoundBody>, BindError> {
        bodies.into_iter().map(|body| self.body(body)).collect()
    }

    /// Returns the error of a node that calls something that is not served.
    pub(crate) fn missing(&self, node: &Node, what: &'static str, name: &str) -> BindError {
        BindError::Missing {
            pipeline: self.pipeline.to_owned(),
            node: node.name.clone(),
            what,
            name: name.to_owned(),
        }
    }
}
