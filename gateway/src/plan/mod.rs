//! A checked pipeline bound to what it calls, with what is learnt of its nodes over requests.
//!
//! * `bind`: makes a [`Plan`] of a checked pipeline.
//! * [`topology`]: which nodes wait for which.
//! * [`liveness`]: which nodes some results need.
//! * [`node_latencies`]: how long nodes take.
//! * [`forecast`]: how long the rest of a graph is expected to take.
//! * [`follow_ups`]: calls of one request that reach the same model one after the other.
//! * [`split_state`]: the random numbers and the running shadows of a `split`.

pub mod follow_ups;
pub mod forecast;
pub mod liveness;
pub mod node_latencies;
pub mod split_state;
pub mod topology;

mod bind;

use std::sync::Arc;
use std::time::Duration;

use motet_runtime::metrics::CallMetrics;

use crate::call::PolicyClient;
use crate::check::{CheckedPipeline, Composition};
use crate::grpc::Method;
use crate::model::{Backend, ModelClient};
use crate::ops::BoundOp;

pub use bind::{Bind, BindError};
pub use follow_ups::FollowUps;
pub use liveness::Liveness;
pub use node_latencies::NodeLatencies;
pub use split_state::SplitState;
pub use topology::Topology;

/// A checked pipeline, bound and ready to run. Immutable apart from statistics; requests share it.
#[derive(Debug)]
pub struct Plan {
    /// The pipeline as checked.
    pub pipeline: Arc<CheckedPipeline>,
    /// Its nodes, bound to what they call.
    pub graph: Graph,
    /// The pipelines that it calls, as they are bound.
    pub composition: Composition,
    backends: Vec<Backend>,
}

/// Bound nodes that can refer to each other: those of the pipeline, or those of a body inside a
/// node.
#[derive(Debug)]
pub struct Graph {
    /// The step of each node, by index.
    pub steps: Vec<Step>,
    /// Dependencies between the nodes.
    pub topology: Topology,
    /// Metrics of each node, by index.
    pub metrics: Vec<CallMetrics>,
    /// Latency statistics of the nodes.
    pub latencies: NodeLatencies,
    /// Statistics of calls that reach the same model.
    pub follow_ups: FollowUps,
}

/// Executable form of a node.
#[derive(Debug)]
pub enum Step {
    /// A call of a model.
    Model(Box<ModelClient>),
    /// A call of a method of another server.
    Grpc(Box<PolicyClient<Method>>),
    /// An op in this process.
    Op(BoundOp),
    /// Another pipeline.
    Pipeline(Arc<Plan>),
    /// The bodies inside the node, in the order of
    /// [`NodeKind::bodies`](crate::check::NodeKind::bodies).
    Bodies(Vec<Arc<Graph>>),
    /// The bodies inside a `split`, and its state.
    Split(Vec<Arc<Graph>>, SplitState),
}

impl Plan {
    /// The models that a request may reach, each once, in the order of the nodes that call them;
    /// those of called pipelines included.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// Returns the pipelines that nodes call.
    pub fn pipelines(&self) -> Vec<&Arc<Self>> {
        let mut found = Vec::new();
        self.graph.pipelines(&mut found);
        found
    }

    /// Returns the timeout of a request whose client asked for `asked`: the pipeline's default if
    /// it asked for none, and never more than the pipeline's maximum.
    pub fn timeout(&self, asked: Option<Duration>) -> Duration {
        let limits = self.pipeline.deadline;
        asked.unwrap_or(limits.default).min(limits.max)
    }

    /// Iterates over the number of columns of each output.
    pub fn widths(&self) -> impl Iterator<Item = usize> {
        self.pipeline.outputs.iter().map(|o| o.columns().len())
    }
}

impl Graph {
    /// Adds the models that are not among `found` yet. A called pipeline has its own collected, so
    /// chains of calls are not followed again.
    fn collect_backends(&self, found: &mut Vec<Backend>) {
        fn add(found: &mut Vec<Backend>, backend: &Backend) {
            if found.iter().all(|known| known.model() != backend.model()) {
                found.push(backend.clone());
            }
        }
        for step in &self.steps {
            match step {
                Step::Model(upstream) => add(found, upstream.backend()),
                Step::Op(_) | Step::Grpc(_) => {}
                Step::Pipeline(plan) => plan.backends.iter().for_each(|b| add(found, b)),
                Step::Bodies(bodies) | Step::Split(bodies, _) => {
                    bodies.iter().for_each(|body| body.collect_backends(found));
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
