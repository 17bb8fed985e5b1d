//! The receipt of a request, and the names of its degraded nodes.

use std::time::Duration;

use motet_proto::v1;
use motet_runtime::telemetry::propagate;

use crate::check::Node;
use crate::exec::{NodeRecord, Outcome, critical_path};
use crate::plan::{Graph, Plan, Step};

/// Returns the receipt of a request: timings of each node, and the critical path.
pub(super) fn receipt(plan: &Plan, outcome: &Outcome) -> v1::Receipt {
    let mut nodes = Vec::new();
    walk(plan, &outcome.records, true, &mut |name, record, arm| {
        nodes.push(v1::NodeReceipt {
            node: name,
            started: duration(record.started),
            total: duration(record.total()),
            queue: duration(record.facts.queue),
            compute: duration(record.facts.compute),
            network: duration(record.network()),
            rows: u32::try_from(record.facts.rows).unwrap_or(u32::MAX),
            batch_rows: u32::try_from(record.facts.batch_rows).unwrap_or(u32::MAX),
            degraded: record.facts.degraded.clone().unwrap_or_default(),
            error: record.facts.error.clone().unwrap_or_default(),
            arm: arm.unwrap_or_default(),
            skipped: record.facts.skipped,
            cancelled: record.facts.cancelled,
            retries: record.facts.call_stats.retries,
            hedges: record.facts.call_stats.hedges,
            hedge_won: record.facts.call_stats.hedge_won,
            circuit_open: record.facts.call_stats.circuit_open,
            cache_hits: record.facts.call_stats.cache_hits,
            cache_joined: record.facts.call_stats.cache_joined,
        });
    });
    v1::Receipt {
        trace_id: propagate::current_trace_id().unwrap_or_default(),
        total: duration(outcome.total),
        nodes,
        critical_path: critical_path(plan, &outcome.records)
            .into_iter()
            .map(|node| plan.pipeline.nodes[node].name.clone())
            .collect(),
    }
}

/// Returns the names of the degraded nodes, each once; those inside a `map` without the index of
/// the element.
pub(super) fn degraded(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let mut names = Vec::new();
    walk(plan, &outcome.records, false, &mut |name, record, _| {
        if record.facts.degraded.is_some() && !names.contains(&name) {
            names.push(name);
        }
    });
    names
}

/// Calls `show` with the name, the record and the arm taken of each node, outer nodes first.
fn walk(
    plan: &Plan,
    records: &[NodeRecord],
    items: bool,
    show: &mut impl FnMut(String, &NodeRecord, Option<String>),
) {
    let scope = Scope {
        nodes: &plan.pipeline.nodes,
        graph: &plan.graph,
        // The nodes of a pipeline have their own names.
        only_step: None,
    };
    scope.walk("", records, items, show);
}

/// Nodes of one graph.
struct Scope<'a> {
    nodes: &'a [Node],
    graph: &'a Graph,
    /// Name of the body, which is also the name of its only node.
    only_step: Option<&'a str>,
}

impl Scope<'_> {
    fn walk(
        &self,
        path: &str,
        records: &[NodeRecord],
        items: bool,
        show: &mut impl FnMut(String, &NodeRecord, Option<String>),
    ) {
        for record in records {
            let (Some(node), Some(step)) = (
                self.nodes.get(record.node),
                self.graph.steps.get(record.node),
            ) else {
                continue;
            };
            let name = match path {
                "" => node.name.clone(),
                path if self.only_step == Some(&node.name) => path.to_owned(),
                path => format!("{path}.{}", node.name),
            };
            let bodies = node.kind.bodies();
            let label = |body: usize| {
                let body = bodies.get(body)?;
                Some(
                    body.name
                        .strip_prefix(node.name.as_str())
                        .unwrap_or(&body.name),
                )
            };
            let arm = record.facts.arm.and_then(label);
            show(name.clone(), record, arm.map(|arm| format!("{name}{arm}")));
            for inside in &record.facts.inside {
                let (Step::Bodies(graphs) | Step::Split(graphs, _)) = step else {
                    if let Step::Pipeline(plan) = step {
                        let scope = Scope {
                            nodes: &plan.pipeline.nodes,
                            graph: &plan.graph,
                            only_step: None,
                        };
                        scope.walk(&name, &inside.records, items, show);
                    }
                    continue;
                };
                let (Some(body), Some(graph), Some(label)) = (
                    bodies.get(inside.body),
                    graphs.get(inside.body),
                    label(inside.body),
                ) else {
                    continue;
                };
                let path = match inside.item.filter(|_| items) {
                    Some(item) => format!("{name}[{item}]"),
                    None => format!("{name}{label}"),
                };
                let scope = Scope {
                    nodes: &body.nodes,
                    graph,
                    only_step: Some(&body.name),
                };
                scope.walk(&path, &inside.records, items, show);
            }
        }
    }
}

fn duration(d: Duration) -> Option<prost_types::Duration> {
    d.try_into().ok()
}
