//! What some results of a graph need: which nodes run, and for how many others.

use crate::check::{Node, Source};

/// Which nodes of a graph are needed, and by how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// For each node, how many wait for its results: nodes whose arguments or substitutes they
    /// are, and the results of the graph as one more. None is a node that need not run.
    pub users: Vec<u32>,
    /// Whether each node is itself a result.
    pub wanted: Vec<bool>,
    /// How many nodes are results.
    pub wanted_count: usize,
    /// Whether each node must run for the results to be there, whatever stands in for others.
    pub forced: Vec<bool>,
}

impl Liveness {
    /// What these results need.
    pub fn of<'s>(nodes: &[Node], results: impl Iterator<Item = &'s Source>) -> Self {
        let mut liveness = Self {
            users: vec![0; nodes.len()],
            wanted: vec![false; nodes.len()],
            wanted_count: 0,
            forced: Vec::new(),
        };
        for source in results {
            if let Source::Node { node, .. } = *source
                && !std::mem::replace(&mut liveness.wanted[node], true)
            {
                liveness.wanted_count += 1;
                liveness.users[node] += 1;
            }
        }
        // Every node comes after those that it needs.
        for (index, node) in nodes.iter().enumerate().rev() {
            if liveness.users[index] > 0 {
                for needed in needs(node) {
                    liveness.users[needed] += 1;
                }
            }
        }
        liveness.forced = forced(nodes, &liveness.wanted);
        liveness
    }
}

/// The nodes that must run for those that are wanted. Where something may stand in for a node,
/// that is only what both need.
fn forced(nodes: &[Node], wanted: &[bool]) -> Vec<bool> {
    let mut needed = wanted.to_vec();
    for (index, node) in nodes.iter().enumerate().rev() {
        if !needed[index] {
            continue;
        }
        let Some(on_error) = &node.on_error else {
            node.dependencies.iter().for_each(|n| needed[*n] = true);
            continue;
        };
        let itself = beneath(nodes, index, &node.dependencies);
        let substitutes = beneath(nodes, index, &on_error.dependencies);
        for (needed, both) in needed.iter_mut().zip(itself.iter().zip(&substitutes)) {
            *needed |= *both.0 && *both.1;
        }
        needed[index] = false;
    }
    needed
}

/// The nodes before `index` that must run for all of `sources`.
fn beneath(nodes: &[Node], index: usize, sources: &[usize]) -> Vec<bool> {
    let mut needed = vec![false; index];
    sources.iter().for_each(|n| needed[*n] = true);
    for at in (0..index).rev() {
        if needed[at] && nodes[at].on_error.is_none() {
            nodes[at]
                .dependencies
                .iter()
                .for_each(|n| needed[*n] = true);
        }
    }
    needed
}

/// The nodes that a node's arguments need, and those that its substitutes do.
fn needs(node: &Node) -> impl Iterator<Item = usize> {
    let substitutes = node.on_error.iter().flat_map(|o| &o.dependencies);
    node.dependencies.iter().chain(substitutes).copied()
}

#[cfg(test)]
mod tests {
    use crate::testing::{FakeModel, plan};

    /// The nodes that must run, by name.
    fn forced(nodes: &str, result: &str) -> Vec<String> {
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
            .zip(&plan.graph.topology.liveness.forced);
        let forced = nodes.filter(|(_, forced)| **forced);
        forced.map(|(node, _)| node.name.clone()).collect()
    }

    #[test]
    fn what_something_may_stand_in_for_need_not_run() {
        let a = "\n  a: { model: m, in: { text: $text } }";
        let b = "\n  b: { model: m, in: { text: $text }, on_error: { use: { size: $a.size } } }";
        let top = "\n  n: { op: topk, in: { score: $a.size }, with: { k: 9 } }\
                   \n  t: { op: gather, in: { text: $text, index: $n.index } }";
        for (nodes, result, wanted) in [
            (a.to_owned(), "$a.size", vec!["a"]),
            // Either of them will do.
            (format!("{a}{b}"), "$b.size", vec![]),
            // `c` needs all before it, and what stands in for it some of that.
            (
                format!(
                    "{a}{top}\n  c: {{ model: m, in: {{ text: $t.text }}, on_error: {{ use: {{ size: $n.score }} }} }}"
                ),
                "$c.size",
                vec!["a", "n"],
            ),
        ] {
            assert_eq!(forced(&nodes, result), wanted, "{nodes}");
        }
    }
}
