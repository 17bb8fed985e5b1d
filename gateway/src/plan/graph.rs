//! Bound nodes that can refer to each other.

use std::sync::Arc;

use motet_runtime::metrics::CallMetrics;

use super::{FollowUps, NodeLatencies, Step, Topology};
use crate::check::{Node, Source};
use crate::model::Backend;

/// Bound nodes that can refer to each other: those of a pipeline, or those of a body inside a
/// node.
#[derive(Debug)]
pub struct Graph {
    /// The nodes, each after all that it needs.
    pub nodes: Vec<BoundNode>,
    /// Dependencies between the nodes.
    pub topology: Topology,
    /// Latency statistics of the nodes.
    pub latencies: NodeLatencies,
    /// Statistics of calls that reach the same model.
    pub follow_ups: FollowUps,
}

/// A node, bound to what it runs.
#[derive(Debug)]
pub struct BoundNode {
    /// The node as checked.
    pub node: Arc<Node>,
    /// Its executable form.
    pub step: Step,
    /// Metrics of its runs.
    pub metrics: CallMetrics,
}

/// A body inside a node, bound and ready to run.
#[derive(Debug)]
pub struct BoundBody {
    /// Its name in messages, such as `words[2]`.
    pub name: String,
    /// Its nodes.
    pub graph: Graph,
    /// The results of the body, as those of [`Body`](crate::check::Body).
    pub results: Vec<Option<Source>>,
}

impl Graph {
    /// Adds the models that are not among `found` yet. A called pipeline has its own collected, so
    /// chains of calls are not followed again.
    pub(super) fn collect_backends(&self, found: &mut Vec<Backend>) {
        fn add(found: &mut Vec<Backend>, backend: &Backend) {
            if found.iter().all(|known| known.model() != backend.model()) {
                found.push(backend.clone());
            }
        }
        for node in &self.nodes {
            let step = node.step.bound();
            if let Some(backend) = step.backend() {
                add(found, backend);
            }
            if let Some(plan) = step.pipeline() {
                plan.backends().iter().for_each(|b| add(found, b));
            }
            for body in step.bodies() {
                body.graph.collect_backends(found);
            }
        }
    }
}
