//! What happened to each node of a request, and which nodes decided how long it took.

use std::time::Duration;

use crate::call::CallStats;
use crate::plan::Plan;

/// What happened to one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeRecord {
    /// The index of the node.
    pub node: usize,
    /// From the start of the request to the start of the node.
    pub started: Duration,
    /// From the start of the request to the end of the node.
    pub ended: Duration,
    /// From the start of the request until the node's results were there: its own, or those of its
    /// substitutes.
    pub available: Duration,
    /// What the node said of its work.
    pub facts: Facts,
}

/// What a node says of its work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Time in the model's queue.
    pub queue: Duration,
    /// Time in the model's forward passes.
    pub compute: Duration,
    /// Rows sent to a model.
    pub rows: usize,
    /// Rows of the largest batch that they rode in.
    pub batch_rows: usize,
    /// How often a model was called, and why more than once.
    pub call_stats: CallStats,
    /// Why the node's own answer was replaced, or what of it is missing.
    pub degraded: Option<String>,
    /// Why the node failed.
    pub error: Option<String>,
    /// The arm that answered, counted from 0.
    pub arm: Option<usize>,
    /// Its condition did not hold.
    pub skipped: bool,
    /// It was cancelled, since nobody needed it any more.
    pub cancelled: bool,
    /// What ran inside it.
    pub inside: Vec<BodyRecord>,
}

/// What happened inside a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyRecord {
    /// Which of the node's bodies it was.
    pub body: usize,
    /// Which element of a list it was for.
    pub item: Option<usize>,
    /// Its nodes, in the order of their starts.
    pub records: Vec<NodeRecord>,
}

impl NodeRecord {
    /// From the start of the node to its end.
    pub fn total(&self) -> Duration {
        self.ended.saturating_sub(self.started)
    }

    /// What is neither queue nor compute: messages, tokenization, the network.
    pub fn network(&self) -> Duration {
        self.total()
            .saturating_sub(self.facts.queue)
            .saturating_sub(self.facts.compute)
    }
}

/// The chain of nodes that decided how long the request took, first to last: from the node whose
/// results were there last, back over whichever node it waited for longest. A node that failed
/// waited for its substitutes, too.
pub fn critical_path(plan: &Plan, records: &[NodeRecord]) -> Vec<usize> {
    let record = |node: usize| records.iter().find(|r| r.node == node);
    let mut path: Vec<usize> = records
        .iter()
        .filter(|r| !r.facts.cancelled)
        .max_by_key(|r| r.available)
        .map(|r| r.node)
        .into_iter()
        .collect();
    while let Some(&first) = path.last() {
        let node = &plan.pipeline.nodes[first];
        // The results of a node that failed were there when its substitutes were.
        let failed = record(first).is_some_and(|r| r.facts.error.is_some());
        let substitutes = node.on_error.iter().filter(|_| failed);
        let substitutes = substitutes.flat_map(|on_error| &on_error.dependencies);
        let waited_for = node.dependencies.iter().chain(substitutes);
        let available = |node: &&usize| record(**node).map(|r| r.available);
        let Some(&before) = waited_for.max_by_key(available) else {
            break;
        };
        path.push(before);
    }
    path.reverse();
    path
}
