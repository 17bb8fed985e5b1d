//! What some results of a graph need: which nodes run, and for how many others.

use crate::check::{Node, Source};

/// Which nodes of a graph are needed, and by how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// For each node, how many wait for its results: nodes whose arguments or substitutes they
    /// are, and the results of the graph as one more. None is a node that need not run.
    pub users: Vec<u32>,
    /// Whether each node is itself a result.
    pub wanted: Vec<bool>,
    /// How many nodes are results.
    pub wanted_count: usize,
}

impl Demand {
    /// What these results need.
    pub fn of<'s>(nodes: &[Node], results: impl Iterator<Item = &'s Source>) -> Self {
        let mut demand = Self {
            users: vec![0; nodes.len()],
            wanted: vec![false; nodes.len()],
            wanted_count: 0,
        };
        for source in results {
            if let Source::Node { node, .. } = *source
                && !std::mem::replace(&mut demand.wanted[node], true)
            {
                demand.wanted_count += 1;
                demand.users[node] += 1;
            }
        }
        // Every node comes after those that it needs.
        for (index, node) in nodes.iter().enumerate().rev() {
            if demand.users[index] > 0 {
                for needed in needs(node) {
                    demand.users[needed] += 1;
                }
            }
        }
        demand
    }
}

/// The nodes that a node's arguments need, and those that its substitutes do.
fn needs(node: &Node) -> impl Iterator<Item = usize> {
    let substitutes = node.on_error.iter().flat_map(|o| &o.dependencies);
    node.dependencies.iter().chain(substitutes).copied()
}
