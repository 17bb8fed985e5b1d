//! Runs a plan for one request.
//!
//! Everything that runs for a request runs inside one future: dropping it (the client went away,
//! the deadline passed) drops every call in flight, and with it the rows that wait in a batcher.
//! Bodies of nodes run in the same way, as a part of the node's future.
//!
//! * `inputs`: checks the inputs of a request, with `literal` for defaults.
//! * `run`: drives a graph; `progress` decides which nodes may start, `time` what time each gets.
//! * `step`: starts a node; the kinds of nodes implement `RunKind` in `kinds/KIND/exec.rs`.
//! * `context`, `symbols`, `elements`: state of a request.
//! * `call`: makes a model request and reads the answer; `batching_hints` go along.
//! * `blame`: decides whose fault an error is. `record`: what receipts are made of.

mod batching_hints;
pub(crate) mod blame;
pub(crate) mod call;
pub(crate) mod condition;
pub(crate) mod context;
pub(crate) mod elements;
mod inputs;
mod literal;
mod progress;
pub(crate) mod record;
mod request;
pub(crate) mod run;
pub(crate) mod step;
pub(crate) mod symbols;
pub(crate) mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use motet_runtime::status;
use tonic::Status;

pub use elements::{REQUEST_ELEMENTS_MAX, REQUEST_RUNS_MAX};
pub use inputs::{InputViolation, Inputs, ViolationKind, bind_inputs, violation_status};
pub use record::{BodyRecord, NodeRecord, NodeStats, critical_path};
pub use request::{OutputSelection, RequestLimits, RequestOutcome};

use crate::check::Column;
use crate::plan::Liveness;
use crate::plan::Plan;
use context::Context;
use elements::ElementCount;
use run::GraphRun;

/// Runs `plan` over `inputs` (as [`bind_inputs`] gives them).
///
/// # Errors
/// The status of the node that failed, naming pipeline and node; DEADLINE_EXCEEDED when late, at
/// once where too little time is left.
pub async fn run(
    plan: &Arc<Plan>,
    inputs: Inputs,
    wanted: OutputSelection<'_>,
    limits: RequestLimits,
) -> Result<RequestOutcome, Status> {
    let elements = ElementCount::default();
    run_in(Context::new(plan, limits, &elements), inputs, wanted).await
}

/// Runs the plan of `context`, for a request of its own or as a part of the one around it.
pub(crate) async fn run_in(
    context: Context<'_>,
    inputs: Inputs,
    wanted: OutputSelection<'_>,
) -> Result<RequestOutcome, Status> {
    let Context { plan, limits, .. } = context;
    let graph = &plan.graph;
    let columns: Vec<&Column> = plan.pipeline.values().collect();
    let partial = match wanted {
        OutputSelection::All => None,
        OutputSelection::Columns(wanted) if wanted.iter().all(|wanted| *wanted) => None,
        OutputSelection::Columns(_) => {
            let wanted = columns.iter().enumerate().filter(|(i, _)| wanted.has(*i));
            let sources = wanted.map(|(_, column)| &column.source);
            Some(Liveness::of(&graph.topology.edges, sources))
        }
    };
    let liveness = partial.as_ref().unwrap_or(&graph.topology.liveness);
    let mut run = GraphRun::new(context, graph, liveness, inputs.tensors, inputs.lengths);
    run.reject_if_infeasible()?;
    match tokio::time::timeout_at(limits.deadline.instant(), run.drive()).await {
        Ok(result) => result?,
        Err(_) => return Err(run.timed_out()),
    }
    let mut values = Vec::with_capacity(columns.len());
    for (index, column) in columns.into_iter().enumerate() {
        let value = wanted
            .has(index)
            .then(|| run.value(&column.source))
            .flatten();
        if value.is_none() && wanted.has(index) && !column.optional {
            return Err(status::internal("a value is not there that should be").into());
        }
        values.push(value);
    }
    let mut values = values.into_iter();
    let outputs = plan
        .widths()
        .map(|width| values.by_ref().take(width).collect())
        .collect();
    Ok(RequestOutcome {
        outputs,
        total: context.elapsed(),
        records: run.into_records(),
    })
}
