//! Which nodes of a graph wait for which: all that a scheduler needs to know of them.

use super::Liveness;
use crate::check::{Node, Source};

/// The edges of a graph, by node, and which nodes its results need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// For each node, the nodes whose arguments need its results.
    pub dependents: Vec<Vec<usize>>,
    /// For each node, the nodes whose failure its results can substitute.
    pub substitutes_for: Vec<Vec<usize>>,
    /// The nodes that all results of the graph need.
    pub liveness: Liveness,
}

impl Topology {
    /// Returns the topology of `nodes`, each of which comes after those that it needs.
    pub fn new<'s>(nodes: &[Node], results: impl Iterator<Item = &'s Source>) -> Self {
        let mut dependents = vec![Vec::new(); nodes.len()];
        let mut substitutes_for = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            for &needed in &node.dependencies {
                dependents[needed].push(index);
            }
            for &needed in node.on_error.iter().flat_map(|o| &o.dependencies) {
                substitutes_for[needed].push(index);
            }
        }
        Self {
            dependents,
            substitutes_for,
            liveness: Liveness::of(nodes, results),
        }
    }
}
