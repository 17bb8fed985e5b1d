//! Liveness: which nodes of a graph the requested results need, and how many consumers each has.

use super::Edges;
use crate::check::Source;

/// The nodes of a graph that some of its results need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// For each node, the number of consumers of its results: the nodes that need them as
    /// arguments or as substitutes, and one more if they are results of the graph. A node with 0
    /// need not run.
    pub ref_counts: Vec<u32>,
    /// For each node, `true` if the graph's results are taken from it.
    pub is_result: Vec<bool>,
    /// Number of nodes from which results are taken.
    pub result_count: usize,
    /// For each node, `true` if there are no results without it, whatever substitutes other nodes
    /// have.
    pub required: Vec<bool>,
}

impl Liveness {
    /// Returns the liveness of nodes with these edges, each of which comes after those that it
    /// needs, for these results.
    pub fn of<'s>(nodes: &[Edges], results: impl Iterator<Item = &'s Source>) -> Self {
        let mut liveness = Self {
            ref_counts: vec![0; nodes.len()],
            is_result: vec![false; nodes.len()],
            result_count: 0,
            required: Vec::new(),
        };
        for source in results {
            if let Source::Node { node, .. } = *source
                && !std::mem::replace(&mut liveness.is_result[node], true)
            {
                liveness.result_count += 1;
                liveness.ref_counts[node] += 1;
            }
        }
        for (index, node) in nodes.iter().enumerate().rev() {
            if liveness.ref_counts[index] > 0 {
                for needed in needs(node) {
                    liveness.ref_counts[needed] += 1;
                }
            }
        }
        liveness.required = required(nodes, &liveness.is_result);
        liveness
    }
}

/// Returns the nodes that must run for those in `is_result`. Of a node that has substitutes, only
/// the nodes that both itself and its substitutes need are required.
fn required(nodes: &[Edges], is_result: &[bool]) -> Vec<bool> {
    let mut required = is_result.to_vec();
    for (index, node) in nodes.iter().enumerate().rev() {
        if !required[index] {
            continue;
        }
        let Some(substitutes) = &node.substitutes else {
            node.dependencies.iter().for_each(|n| required[*n] = true);
            continue;
        };
        let of_node = ancestors(nodes, index, &node.dependencies);
        let of_substitutes = ancestors(nodes, index, substitutes);
        for (required, both) in required.iter_mut().zip(of_node.iter().zip(&of_substitutes)) {
            *required |= *both.0 && *both.1;
        }
        required[index] = false;
    }
    required
}

/// Returns the nodes before `index` that must run for all of `sources`.
fn ancestors(nodes: &[Edges], index: usize, sources: &[usize]) -> Vec<bool> {
    let mut is_ancestor = vec![false; index];
    sources.iter().for_each(|n| is_ancestor[*n] = true);
    for at in (0..index).rev() {
        if is_ancestor[at] && nodes[at].substitutes.is_none() {
            let dependencies = nodes[at].dependencies.iter();
            dependencies.for_each(|n| is_ancestor[*n] = true);
        }
    }
    is_ancestor
}

/// Iterates over the nodes whose results a node needs, as arguments or as substitutes.
fn needs(node: &Edges) -> impl Iterator<Item = usize> {
    let substitutes = node.substitutes.iter().flatten();
    node.dependencies.iter().chain(substitutes).copied()
}

#[cfg(test)]
mod tests {
    use crate::testing::{FakeModel, plan};

    /// Names of the required nodes.
    fn required(nodes: &str, result: &str) -> Vec<String> {
        let yaml = format!(
            "
pipeline: p
inputs: {{ text: \"string[N]\" }}
nodes:{nodes}
outputs: {{ size: {result} }}
"
        );
        let model = FakeModel::lengths();
        let plan = plan(&yaml, &[("m", &model)]);
        let nodes = plan
            .pipeline
            .nodes
            .iter()
            .zip(&plan.graph.topology.liveness.required);
        let required = nodes.filter(|(_, required)| **required);
        required.map(|(node, _)| node.name.clone()).collect()
    }

    #[test]
    fn a_node_that_has_a_substitute_is_not_required() {
        let a = "\n  a: { model: m, in: { text: $text } }";
        let b = "\n  b: { model: m, in: { text: $text }, on_error: { use: { size: $a.size } } }";
        let top = "\n  n: { op: topk, in: { score: $a.size }, with: { k: 9 } }\
                   \n  t: { op: gather, in: { text: $text, index: $n.index } }";
        for (nodes, result, wanted) in [
            (a.to_owned(), "$a.size", vec!["a"]),
            // Either of them suffices.
            (format!("{a}{b}"), "$b.size", vec![]),
            // `c` needs all nodes before it, and its substitute some of them.
            (
                format!(
                    "{a}{top}\n  c: {{ model: m, in: {{ text: $t.text }}, \
                     on_error: {{ use: {{ size: $n.score }} }} }}"
                ),
                "$c.size",
                vec!["a", "n"],
            ),
        ] {
            assert_eq!(required(&nodes, result), wanted, "{nodes}");
        }
    }
}
