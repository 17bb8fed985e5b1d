//! The receipt of a request, as the API gives it.

use std::time::Duration;

use motet_proto::v1;
use motet_runtime::telemetry::propagate;

use crate::exec::{Outcome, critical_path};
use crate::plan::Plan;

/// Why a request took as long as it did.
pub(super) fn receipt(plan: &Plan, outcome: &Outcome) -> v1::Receipt {
    let name = |node: usize| plan.pipeline.nodes[node].name.clone();
    v1::Receipt {
        trace_id: propagate::current_trace_id().unwrap_or_default(),
        total: duration(outcome.total),
        nodes: outcome
            .records
            .iter()
            .map(|r| v1::NodeReceipt {
                node: name(r.node),
                started: duration(r.started),
                total: duration(r.total()),
                queue: duration(r.facts.queue),
                compute: duration(r.facts.compute),
                network: duration(r.network()),
                rows: u32::try_from(r.facts.rows).unwrap_or(u32::MAX),
                batch_rows: u32::try_from(r.facts.batch_rows).unwrap_or(u32::MAX),
                degraded: r.degraded.clone().unwrap_or_default(),
                retries: r.facts.tally.retries,
                hedges: r.facts.tally.hedges,
                hedge_won: r.facts.tally.hedge_won,
                circuit_open: r.facts.tally.circuit_open,
                cache_hits: r.facts.tally.cache_hits,
                cache_joined: r.facts.tally.cache_joined,
            })
            .collect(),
        critical_path: critical_path(plan, &outcome.records)
            .into_iter()
            .map(name)
            .collect(),
    }
}

fn duration(d: Duration) -> Option<prost_types::Duration> {
    d.try_into().ok()
}
