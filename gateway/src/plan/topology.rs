//! Which nodes of a graph wait for which: all that a scheduler needs to know of them.

use super::Liveness;
use crate::check::{Node, Source};

/// The nodes whose results a node needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edges {
    /// For its arguments and its condition: ascending, each once.
    pub dependencies: Vec<usize>,
    /// For its substitutes, if it has any: ascending, each once. They are needed only when the
    /// node fails.
    pub substitutes: Option<Vec<usize>>,
}

impl From<&Node> for Edges {
    fn from(node: &Node) -> Self {
        let on_error = node.on_error.as_ref();
        Self {
            dependencies: node.dependencies.clone(),
            substitutes: on_error.map(|on_error| on_error.dependencies.clone()),
        }
    }
}

/// The edges of a graph in both directions, and which nodes its results need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// For each node, the nodes that it needs itself.
    pub edges: Vec<Edges>,
    /// For each node, the nodes whose arguments need its results.
    pub dependents: Vec<Vec<usize>>,
    /// For each node, the nodes whose failure its results can substitute.
    pub substitutes_for: Vec<Vec<usize>>,
    /// The nodes that all results of the graph need.
    pub liveness: Liveness,
}

impl Topology {
    /// Returns the topology of nodes with these edges, each of which comes after those that it
    /// needs.
    pub fn new<'s>(edges: Vec<Edges>, results: impl Iterator<Item = &'s Source>) -> Self {
        let mut dependents = vec![Vec::new(); edges.len()];
        let mut substitutes_for = vec![Vec::new(); edges.len()];
        for (index, node) in edges.iter().enumerate() {
            for &needed in &node.dependencies {
                dependents[needed].push(index);
            }
            for &needed in node.substitutes.iter().flatten() {
                substitutes_for[needed].push(index);
            }
        }
        Self {
            dependents,
            substitutes_for,
            liveness: Liveness::of(&edges, results),
            edges,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{FakeModel, plan};

    #[test]
    fn a_node_knows_its_dependents_and_the_nodes_it_substitutes_for() {
        let yaml = "
pipeline: p
inputs: { text: \"string[N]\" }
nodes:
  a: { model: m, in: { text: $text } }
  b: { model: m, in: { text: $text }, on_error: { use: { size: $a.size } } }
  c: { op: topk, in: { score: $b.size }, with: { k: 1 } }
outputs: { size: $b.size, score: $c.score }
";
        let plan = plan(yaml, &[("m", &FakeModel::lengths())]);
        let index = |name| {
            plan.pipeline
                .nodes
                .iter()
                .position(|n| n.name == name)
                .unwrap()
        };
        let (a, b, c) = (index("a"), index("b"), index("c"));
        let topology = &plan.graph.topology;
        for (node, dependents, substitutes_for, ref_count) in [
            (a, vec![], vec![b], 1),
            // A dependent and a result.
            (b, vec![c], vec![], 2),
            (c, vec![], vec![], 1),
        ] {
            assert_eq!(topology.dependents[node], dependents);
            assert_eq!(topology.substitutes_for[node], substitutes_for);
            assert_eq!(topology.liveness.ref_counts[node], ref_count);
        }
    }
}
