//! Records of the nodes of a request, and the critical path through them.

use std::time::Duration;

use crate::call::CallStats;
use crate::plan::Plan;

/// Record of one node.
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
    /// Statistics that the node reported.
    pub stats: NodeStats,
}

/// Statistics of a node's work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Time in the model's queue.
    pub queue: Duration,
    /// Time in the model's forward passes.
    pub compute: Duration,
    /// Rows sent to a model.
    pub rows: usize,
    /// Rows of the largest batch that had some of them.
    pub batch_rows: usize,
    /// Statistics of its calls.
    pub call_stats: CallStats,
    /// Reason for which the node's own answer was replaced or is incomplete.
    pub degraded: Option<String>,
    /// Error of a node that failed.
    pub error: Option<String>,
    /// The arm that answered, counted from 0.
    pub arm: Option<usize>,
    /// `true` if its condition did not hold.
    pub skipped: bool,
    /// `true` if it was cancelled because it was no longer needed.
    pub cancelled: bool,
    /// Records of the bodies that ran inside it.
    pub nested: Vec<BodyRecord>,
}

/// Records of one run of a body inside a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyRecord {
    /// Index of the body.
    pub body: usize,
    /// Index of the list's element that it ran for, in a `map`.
    pub item: Option<usize>,
    /// Its nodes, in the order of their starts.
    pub records: Vec<NodeRecord>,
}

impl NodeRecord {
    /// Returns the time from the start of the node to its end.
    pub fn total(&self) -> Duration {
        self.ended.saturating_sub(self.started)
    }

    /// Returns the time that is neither queue nor compute: messages, tokenization, the network.
    pub fn network(&self) -> Duration {
        self.total()
            .saturating_sub(self.stats.queue)
            .saturating_sub(self.stats.compute)
    }
}

/// Returns the chain of nodes that decided the latency of the request, first to last: from the
/// node whose results were there last, back over whichever node it waited for longest. A node that
/// failed waited for its substitutes, too.
pub fn critical_path(plan: &Plan, records: &[NodeRecord]) -> Vec<usize> {
    let record = |node: usize| records.iter().find(|r| r.node == node);
    let mut path: Vec<usize> = records
        .iter()
        .filter(|r| !r.stats.cancelled)
        .max_by_key(|r| r.available)
        .map(|r| r.node)
        .into_iter()
        .collect();
    while let Some(&first) = path.last() {
        let node = &plan.pipeline.nodes[first];
        // The results of a node that failed were there when its substitutes were.
        let failed = record(first).is_some_and(|r| r.stats.error.is_some());
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
