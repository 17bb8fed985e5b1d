//! Runs a plan for one request.
//!
//! Everything that runs for a request runs inside one future: dropping it (the client went away,
//! the deadline passed) drops every call in flight, and with it the rows that wait in a batcher.

mod call;
mod context;
mod inputs;
mod lengths;
mod literal;
mod progress;
mod record;
mod request;
mod step;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use tonic::Status;

pub use inputs::{Fault, Inputs, Mistake, bind_inputs, refuse};
pub use record::{Facts, NodeRecord, critical_path};

use crate::plan::Plan;
use context::Context;
use request::Run;

/// The parameter that says how urgent a request is: 1 highest, 0 default.
pub const PRIORITY: &str = "priority";

/// What a request came to.
#[derive(Debug)]
pub struct Outcome {
    /// For each output of the pipeline, its value or its columns.
    pub outputs: Vec<Vec<Tensor>>,
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

/// Runs `plan` over `inputs` (as [`bind_inputs`] gives them).
///
/// # Errors
/// The status of the node that failed, naming pipeline and node; DEADLINE_EXCEEDED when late.
pub async fn run(plan: &Arc<Plan>, inputs: Inputs, terms: Terms) -> Result<Outcome, Status> {
    let mut run = Run::new(Context::new(plan, terms), inputs);
    match tokio::time::timeout_at(terms.deadline.instant(), run.drive()).await {
        Ok(result) => result?,
        Err(_) => return Err(run.late()),
    }
    run.finish()
}
