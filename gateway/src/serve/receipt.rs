//! The receipt of a request, and the names of its degraded nodes.

use std::time::Duration;

use motet_proto::v1;
use motet_runtime::telemetry::propagate;
use motet_runtime::usage::Usage;

use crate::exec::{NodeRecord, RequestOutcome, critical_path};
use crate::plan::{BoundBody, BoundNode, Graph, Plan};

/// Why a request took as long as it did.
pub(super) fn receipt(plan: &Plan, outcome: &RequestOutcome) -> v1::Receipt {
    let mut nodes = Vec::new();
    walk(plan, &outcome.records, true, &mut |name, record, arm| {
        nodes.push(v1::NodeReceipt {
            node: name,
            started: duration(record.started),
            total: duration(record.total()),
            queue: duration(record.stats.queue),
            compute: duration(record.stats.compute),
            network: duration(record.network()),
            rows: u32::try_from(record.stats.rows).unwrap_or(u32::MAX),
            batch_rows: u32::try_from(record.stats.batch_rows).unwrap_or(u32::MAX),
            degraded: record.stats.degraded.clone().unwrap_or_default(),
            error: record.stats.error.clone().unwrap_or_default(),
            arm: arm.unwrap_or_default(),
            skipped: record.stats.skipped,
            cancelled: record.stats.cancelled,
            retries: record.stats.call_stats.retries,
            hedges: record.stats.call_stats.hedges,
            hedge_won: record.stats.call_stats.hedge_won,
            circuit_open: record.stats.call_stats.circuit_open,
            cache_hits: record.stats.call_stats.cache_hits,
            cache_joined: record.stats.call_stats.cache_joined,
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
        usage: None,
    }
}

/// Returns what a request used so far; its answer is `bytes_sent` bytes.
pub(super) fn usage(usage: &Usage, bytes_sent: usize) -> v1::Usage {
    let total = usage.total();
    v1::Usage {
        runtime: duration(total.runtime),
        pool: duration(total.pool),
        tokens: total.tokens,
        bytes_received: total.bytes_received,
        bytes_sent: bytes_sent as u64,
        costs: usage
            .costs()
            .into_iter()
            .map(|(unit, cost)| v1::Cost { unit, cost })
            .collect(),
    }
}

/// The names of the nodes that were degraded, each once; those inside a `map` without their
/// element.
pub(super) fn degraded(plan: &Plan, outcome: &RequestOutcome) -> Vec<String> {
    let mut names = Vec::new();
    walk(plan, &outcome.records, false, &mut |name, record, _| {
        if record.stats.degraded.is_some() && !names.contains(&name) {
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
    let scope = RecordedGraph {
        graph: &plan.graph,
        // The nodes of a pipeline have their own names.
        only_step: None,
    };
    scope.walk("", records, items, show);
}

/// Nodes of one graph.
struct RecordedGraph<'a> {
    graph: &'a Graph,
    /// Name of the body, which is also the name of its only node.
    only_step: Option<&'a str>,
}

impl RecordedGraph<'_> {
    fn walk(
        &self,
        path: &str,
        records: &[NodeRecord],
        items: bool,
        show: &mut impl FnMut(String, &NodeRecord, Option<String>),
    ) {
        for record in records {
            let Some(bound) = self.graph.nodes.get(record.node) else {
                continue;
            };
            let name = match path {
                "" => bound.node.name.clone(),
                path if self.only_step == Some(&bound.node.name) => path.to_owned(),
                path => format!("{path}.{}", bound.node.name),
            };
            let bodies = bound.step.bound().bodies();
            let arm = record.stats.arm.and_then(|arm| bodies.get(arm));
            let arm = arm.map(|body| format!("{name}{}", arm_label(bound, body)));
            show(name.clone(), record, arm);
            for inside in &record.stats.nested {
                if let Some(plan) = bound.step.bound().pipeline() {
                    let scope = RecordedGraph {
                        graph: &plan.graph,
                        only_step: None,
                    };
                    scope.walk(&name, &inside.records, items, show);
                } else if let Some(body) = bodies.get(inside.body) {
                    let path = match inside.item.filter(|_| items) {
                        Some(item) => format!("{name}[{item}]"),
                        None => format!("{name}{}", arm_label(bound, body)),
                    };
                    let scope = RecordedGraph {
                        graph: &body.graph,
                        only_step: Some(&body.name),
                    };
                    scope.walk(&path, &inside.records, items, show);
                }
            }
        }
    }
}

/// Returns the name of a body without that of the node around it, such as `[2]`.
fn arm_label<'a>(node: &BoundNode, body: &'a BoundBody) -> &'a str {
    let label = body.name.strip_prefix(node.node.name.as_str());
    label.unwrap_or(&body.name)
}

fn duration(d: Duration) -> Option<prost_types::Duration> {
    d.try_into().ok()
}
