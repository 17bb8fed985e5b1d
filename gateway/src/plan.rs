//! A checked pipeline made ready to run: models bound to backends, and who waits for whom.

use std::sync::Arc;
use std::time::Duration;

use motet_runtime::metrics::{CallMetrics, Metrics};

use crate::backend::Backend;
use crate::budget::Budget;
use crate::check::{Body, CheckedPipeline, Node, NodeKind, Source};
use crate::demand::Demand;
use crate::grpc::{Method, Remote};
use crate::ops::BoundOp;
use crate::sequels::Sequels;
use crate::shadows::Shadows;
use crate::spec::EndpointRef;
use crate::upstream::{Calls, Upstream};

/// What the executor runs. Immutable; requests share it.
#[derive(Debug)]
pub struct Plan {
    /// The pipeline as checked.
    pub pipeline: Arc<CheckedPipeline>,
    /// Its nodes, bound.
    pub graph: Graph,
}

/// Nodes that can refer to each other, bound: those of the pipeline, or those inside a node.
#[derive(Debug)]
pub struct Graph {
    /// What each node runs, by index.
    pub steps: Vec<Step>,
    /// For each node, the nodes whose arguments need it.
    pub dependents: Vec<Vec<usize>>,
    /// For each node, the nodes in whose place its results may stand.
    pub stands_for: Vec<Vec<usize>>,
    /// What counts and times each node, by index.
    pub metrics: Vec<CallMetrics>,
    /// What every result of the graph needs.
    pub demand: Demand,
    /// What was learnt of how long nodes take.
    pub budget: Budget,
    /// What was learnt of calls that reach the same model.
    pub sequels: Sequels,
}

/// What a node runs.
#[derive(Debug)]
pub enum Step {
    /// A call of a model.
    Model(Box<Upstream>),
    /// A call of a method of another server.
    Grpc(Box<Calls<Method>>),
    /// An op in this process.
    Op(BoundOp),
    /// Another pipeline.
    Pipeline(Arc<Plan>),
    /// What stands inside the node, in the order of [`NodeKind::bodies`].
    Bodies(Vec<Arc<Graph>>),
    /// The same for a `split`, with what it remembers.
    Split(Vec<Arc<Graph>>, Shadows),
}

/// A pipeline that calls something that nobody serves.
#[derive(Debug, thiserror::Error)]
#[error("pipeline {pipeline}, node {node}: there is no {what} `{name}`")]
pub struct Unbound {
    /// The pipeline.
    pub pipeline: String,
    /// The node.
    pub node: String,
    /// What is called: a model, a pipeline or an endpoint.
    pub what: &'static str,
    /// Its name.
    pub name: String,
}

/// Where a plan finds what its nodes call.
pub trait Bind {
    /// The model `name`.
    fn model(&self, name: &str) -> Option<Backend>;

    /// The pipeline `name`.
    fn pipeline(&self, name: &str) -> Option<Arc<Plan>>;

    /// The server of an endpoint.
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
    /// Binds the models of a pipeline.
    ///
    /// # Errors
    /// When `bind` knows no model or pipeline of a name that a node calls.
    pub fn new(
        pipeline: impl Into<Arc<CheckedPipeline>>,
        bind: impl Bind,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, Unbound> {
        let pipeline: Arc<CheckedPipeline> = pipeline.into();
        let results = pipeline.values().map(|column| &column.source);
        let binder = Binder {
            pipeline: &pipeline.name,
            bind: &bind,
            metrics,
        };
        let graph = binder.graph(&pipeline.nodes, results)?;
        Ok(Arc::new(Self { graph, pipeline }))
    }

    /// The backends of the nodes that call a model, in the nodes' order; one inside a node, or of
    /// a pipeline that a node calls, comes where that node does.
    pub fn backends(&self) -> Vec<&Backend> {
        let mut found = Vec::new();
        self.graph.backends(&mut found);
        found
    }

    /// The pipelines that nodes call.
    pub fn pipelines(&self) -> Vec<&Arc<Self>> {
        let mut found = Vec::new();
        self.graph.pipelines(&mut found);
        found
    }

    /// How long a request may take when the client leaves `asked`: the pipeline's default where
    /// it does not say, and never more than the pipeline's maximum.
    pub fn timeout(&self, asked: Option<Duration>) -> Duration {
        let limits = self.pipeline.deadline;
        asked.unwrap_or(limits.default).min(limits.max)
    }

    /// How many columns each output has.
    pub fn widths(&self) -> impl Iterator<Item = usize> {
        self.pipeline.outputs.iter().map(|o| o.columns().len())
    }
}

impl Graph {
    fn backends<'g>(&'g self, found: &mut Vec<&'g Backend>) {
        for step in &self.steps {
            match step {
                Step::Model(upstream) => found.push(upstream.backend()),
                Step::Op(_) | Step::Grpc(_) => {}
                Step::Pipeline(plan) => plan.graph.backends(found),
                Step::Bodies(bodies) | Step::Split(bodies, _) => {
                    bodies.iter().for_each(|b| b.backends(found));
                }
            }
        }
    }

    fn pipelines<'g>(&'g self, found: &mut Vec<&'g Arc<Plan>>) {
        for step in &self.steps {
            match step {
                Step::Pipeline(plan) => found.push(plan),
                Step::Bodies(bodies) | Step::Split(bodies, _) => {
                    bodies.iter().for_each(|b| b.pipelines(found));
                }
                Step::Model(_) | Step::Grpc(_) | Step::Op(_) => {}
            }
        }
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
    ) -> Result<Graph, Unbound> {
        let mut dependents = vec![Vec::new(); nodes.len()];
        let mut stands_for = vec![Vec::new(); nodes.len()];
        let mut steps = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            for &needed in &node.dependencies {
                dependents[needed].push(index);
            }
            for &needed in node.on_error.iter().flat_map(|o| &o.dependencies) {
                stands_for[needed].push(index);
            }
            steps.push(self.step(node)?);
        }
        Ok(Graph {
            sequels: Sequels::new(nodes),
            budget: Budget::new(steps.len(), self.metrics.refusals(self.pipeline)),
            steps,
            dependents,
            stands_for,
            metrics: nodes
                .iter()
                .map(|node| self.metrics.node(self.pipeline, &node.name))
                .collect(),
            demand: Demand::of(nodes, results),
        })
    }

    fn step(&self, node: &Node) -> Result<Step, Unbound> {
        let unbound = |what, name: &str| Unbound {
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
                let upstream = Upstream::new(backend, self.pipeline, node, self.metrics);
                Step::Model(Box::new(upstream))
            }
            NodeKind::Grpc(call) => {
                let method = self.bind.endpoint(&call.endpoint).and_then(|remote| {
                    Method::new(remote, &call.path, call.response.clone(), call.messages_max).ok()
                });
                let method =
                    method.ok_or_else(|| unbound("endpoint", &call.endpoint.to_string()))?;
                let calls = Calls::new(method, self.pipeline, node, self.metrics);
                Step::Grpc(Box::new(calls))
            }
            NodeKind::Pipeline(call) => {
                let plan = self.bind.pipeline(&call.name);
                Step::Pipeline(plan.ok_or_else(|| unbound("pipeline", &call.name))?)
            }
            NodeKind::Split(split) => {
                let shadows = Shadows::new(self.pipeline, &node.name, split, self.metrics);
                Step::Split(bodies()?, shadows)
            }
            NodeKind::Fallback(_)
            | NodeKind::Switch(_)
            | NodeKind::Ensemble(_)
            | NodeKind::Map(_) => Step::Bodies(bodies()?),
        })
    }

    fn body(&self, body: &Body) -> Result<Arc<Graph>, Unbound> {
        let graph = self.graph(&body.nodes, body.results.iter().flatten())?;
        Ok(Arc::new(graph))
    }
}
