//! Runs a plan for one request.
//!
//! Everything that runs for a request runs inside one future: dropping it (the client went away,
//! the deadline passed) drops every call in flight, and with it the rows that wait in a batcher.
//! What stands inside a node runs in the same way, as a part of that node's future.

mod batching_hints;
mod blame;
mod body;
mod call;
mod compare;
mod condition;
mod context;
mod elements;
mod inputs;
mod lengths;
mod literal;
mod progress;
mod record;
mod run;
mod step;
mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use tonic::Status;

pub use elements::REQUEST_ELEMENTS_MAX;
pub use inputs::{InputViolation, Inputs, ViolationKind, bind_inputs, violation_status};
pub use record::{BodyRecord, Facts, NodeRecord, critical_path};

use crate::check::Column;
use crate::plan::Liveness;
use crate::plan::Plan;
use context::Context;
use elements::ElementCount;
use run::{Frame, Run};

/// What a request came to.
#[derive(Debug)]
pub struct Outcome {
    /// For each output of the pipeline, its value or its columns: `None` for those that are
    /// absent or were not asked for.
    pub outputs: Vec<Vec<Option<Tensor>>>,
    /// One record for each node that ran, in the order of their starts.
    pub records: Vec<NodeRecord>,
    /// From start to end.
    pub total: Duration,
}

/// What one request asks for beside its inputs.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// By when the answer must be there.
    pub deadline: Deadline,
    /// The `priority` parameter of the Open Inference Protocol, passed on to every model.
    pub priority: Option<i64>,
}

/// Which of a pipeline's outputs a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'w> {
    /// All of them.
    All,
    /// Those columns, in the order of [`CheckedPipeline::columns`](crate::check::CheckedPipeline::columns),
    /// for which this is true. Nodes that only others need do not run.
    Columns(&'w [bool]),
}

impl Wanted<'_> {
    fn has(self, column: usize) -> bool {
        match self {
            Self::All => true,
            Self::Columns(wanted) => wanted.get(column).copied().unwrap_or(false),
        }
    }
}

/// Runs `plan` over `inputs` (as [`bind_inputs`] gives them).
///
/// # Errors
/// The status of the node that failed, naming pipeline and node; DEADLINE_EXCEEDED when late, at
/// once where too little time is left.
pub async fn run(
    plan: &Arc<Plan>,
    inputs: Inputs,
    wanted: Wanted<'_>,
    terms: Terms,
) -> Result<Outcome, Status> {
    let elements = ElementCount::default();
    run_in(Context::new(plan, terms, &elements), inputs, wanted).await
}

/// Runs the plan of `context`, for a request of its own or as a part of the one around it.
async fn run_in(
    context: Context<'_>,
    inputs: Inputs,
    wanted: Wanted<'_>,
) -> Result<Outcome, Status> {
    let Context { plan, terms, .. } = context;
    let frame = Frame {
        nodes: &plan.pipeline.nodes,
        graph: &plan.graph,
        is_inside: false,
    };
    let columns: Vec<&Column> = plan.pipeline.values().collect();
    let partial = match wanted {
        Wanted::All => None,
        Wanted::Columns(wanted) if wanted.iter().all(|wanted| *wanted) => None,
        Wanted::Columns(_) => {
            let wanted = columns.iter().enumerate().filter(|(i, _)| wanted.has(*i));
            let sources = wanted.map(|(_, column)| &column.source);
            Some(Liveness::of(frame.nodes, sources))
        }
    };
    let liveness = partial.as_ref().unwrap_or(&plan.graph.topology.liveness);
    let mut run = Run::new(context, frame, liveness, inputs.tensors, inputs.lengths);
    run.in_time()?;
    match tokio::time::timeout_at(terms.deadline.instant(), run.drive()).await {
        Ok(result) => result?,
        Err(_) => return Err(run.late()),
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
    Ok(Outcome {
        outputs,
        total: context.elapsed(),
        records: run.into_records(),
    })
}
