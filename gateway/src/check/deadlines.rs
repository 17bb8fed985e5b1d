//! Deadlines that do not fit into each other: nodes that may take, by their own deadlines, more
//! than the time around them.

use std::collections::HashMap;
use std::time::Duration;

use motet_config::{Diagnostic, list_of};

use super::checker::Checker;
use super::references;
use crate::call::layers::deadline::Limit;
use crate::syntax::NodeSpec;

/// Nodes that run one after the other.
#[derive(Clone, Default)]
struct Chain<'a> {
    /// The sum of their deadlines; nodes without a deadline of their own are not counted.
    time: Duration,
    /// Those that are counted.
    nodes: Vec<&'a NodeSpec>,
}

impl<'a> Chain<'a> {
    fn then(mut self, mut next: Self) -> Self {
        self.time += next.time;
        self.nodes.append(&mut next.nodes);
        self
    }

    fn longest(chains: impl IntoIterator<Item = Self>) -> Self {
        let longer = |a: Self, b: Self| if b.time > a.time { b } else { a };
        chains.into_iter().fold(Self::default(), longer)
    }
}

impl Checker<'_> {
    /// Warns of deadlines that leave the nodes after them no time. Only meaningful when everything
    /// is known.
    pub(crate) fn warn_of_deadlines(&mut self) {
        let default = self.spec.deadline.default;
        let max = self.spec.deadline.max;
        let mut warnings = Vec::new();
        let chain = longest(&self.spec.nodes);
        // A deadline over the maximum was reported at the node.
        let is_known = chain
            .nodes
            .iter()
            .any(|n| own_deadline(n).is_some_and(|own| own > max));
        if chain.time > default && !is_known {
            let more = format!(
                "more than a request has that does not say ({})",
                shown(default)
            );
            let help = "shorten them, or lengthen `deadline: { default: ... }` of the pipeline";
            let mut warning = report(&chain, &more, help);
            if let Some(span) = self.spec.deadline.default_span {
                warning = warning.map(|w| w.also(span, "what it has"));
            }
            warnings.extend(warning);
        }
        inside(&self.spec.nodes, &mut warnings);
        for warning in warnings {
            self.diagnostics.push(warning);
        }
    }
}

/// Warns of nodes with less time than the nodes inside them may take.
fn inside(nodes: &[NodeSpec], warnings: &mut Vec<Diagnostic>) {
    for node in nodes {
        let bodies = node.kind.iter().flat_map(|kind| kind.value.bodies());
        for body in bodies {
            inside(&body.nodes, warnings);
        }
        let (Some(own), Some(deadline)) = (own_deadline(node), &node.policies.deadline) else {
            continue;
        };
        let chain = of_bodies(node);
        if chain.time > own {
            let name = &node.name.value;
            let more = format!("more than node `{name}` has ({})", shown(own));
            let warning = report(&chain, &more, "shorten them, or give it more");
            warnings.extend(warning.map(|w| w.also(deadline.span, "what it has")));
        }
    }
}

/// Reports that a chain of nodes may take longer than the time around it, at the last of them.
fn report(chain: &Chain<'_>, more: &str, help: &str) -> Option<Diagnostic> {
    let names: Vec<&str> = chain.nodes.iter().map(|n| n.name.value.as_str()).collect();
    let time = shown(chain.time);
    let message = match names.as_slice() {
        [only] => format!("`{only}` may take {time} by its own deadline, {more}"),
        several => format!(
            "{}, one after the other, may take {time} by their own deadlines, {more}",
            list_of(several)
        ),
    };
    let spans = chain
        .nodes
        .iter()
        .filter_map(|n| Some((*n, n.policies.deadline.as_ref()?.span)));
    let mut spans = spans.rev();
    let (_, last) = spans.next()?;
    let diagnostic = spans.fold(
        Diagnostic::warning(last, message),
        |diagnostic, (node, span)| diagnostic.also(span, format!("of `{}`", node.name.value)),
    );
    Some(diagnostic.help(help))
}

/// Returns the chain of nodes of one graph that may take the longest.
fn longest(nodes: &[NodeSpec]) -> Chain<'_> {
    let names = nodes
        .iter()
        .enumerate()
        .map(|(at, n)| (n.name.value.as_str(), at));
    let mut graph = DeadlineGraph {
        nodes,
        names: names.collect(),
        until: vec![None; nodes.len()],
    };
    Chain::longest((0..nodes.len()).map(|node| graph.until(node)))
}

struct DeadlineGraph<'a> {
    nodes: &'a [NodeSpec],
    names: HashMap<&'a str, usize>,
    /// For each node the longest chain that ends with it, once known.
    until: Vec<Option<Chain<'a>>>,
}

impl<'a> DeadlineGraph<'a> {
    /// Returns the longest chain that ends with a node. There are no cycles: they were reported.
    fn until(&mut self, node: usize) -> Chain<'a> {
        if let Some(known) = &self.until[node] {
            return known.clone();
        }
        let spec = &self.nodes[node];
        let mut written = Vec::new();
        references::of_node(spec, &mut written);
        references::inside_node(spec, &mut written);
        let mut before: Vec<usize> = written
            .iter()
            .filter_map(|w| self.names.get(w.reference.target.value.as_str()).copied())
            .filter(|before| *before != node)
            .collect();
        before.sort_unstable();
        before.dedup();
        let before = Chain::longest(before.into_iter().map(|node| self.until(node)));
        let chain = before.then(alone(spec));
        self.until[node] = Some(chain.clone());
        chain
    }
}

/// Returns the chain of one node, or of the nodes inside it.
fn alone(node: &NodeSpec) -> Chain<'_> {
    match own_deadline(node) {
        Some(time) => Chain {
            time,
            nodes: vec![node],
        },
        None => of_bodies(node),
    }
}

/// Returns the chain of the nodes inside a node that may take the longest. Arms of a `fallback` run
/// one after the other, other bodies side by side.
fn of_bodies(node: &NodeSpec) -> Chain<'_> {
    let Some(kind) = &node.kind else {
        return Chain::default();
    };
    let chains = kind.value.bodies().into_iter();
    let chains = chains.map(|body| longest(&body.nodes));
    match kind.value.syntax().runs_bodies_in_turn() {
        true => chains.fold(Chain::default(), Chain::then),
        false => Chain::longest(chains),
    }
}

/// Returns a node's own deadline, if it is a length of time.
fn own_deadline(node: &NodeSpec) -> Option<Duration> {
    match node.policies.deadline.as_ref()?.value {
        Limit::Duration(limit) => Some(limit),
        Limit::Share(_) => None,
    }
}

fn shown(time: Duration) -> impl std::fmt::Display {
    humantime::format_duration(time)
}
