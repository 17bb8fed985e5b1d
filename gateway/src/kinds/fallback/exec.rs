//! `fallback`: the first arm that does not fail.

use motet_runtime::status;
use tokio::time::Instant;
use tonic::Status;

use super::plan::Bound;
use crate::exec::blame;
use crate::exec::context::Context;
use crate::exec::record::NodeStats;
use crate::exec::step::{BodyArguments, NodeCall, NodeOutcome, RunKind, Started};

impl RunKind for Bound {
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a> {
        call.start_bodies(move |context, arguments| run(context, self, arguments))
    }
}

/// Runs arm after arm until one answers or there is no time left.
async fn run<'a>(
    context: Context<'a>,
    fallback: &'a Bound,
    arguments: BodyArguments<'a>,
) -> NodeOutcome {
    let mut stats = NodeStats::default();
    let mut failures = Vec::new();
    for (index, arm) in fallback.arms.iter().enumerate() {
        if context.limits.deadline.is_past(Instant::now()) {
            break;
        }
        let (result, record) = arguments.run(context, arm).await.split(index, None);
        stats.nested.push(record);
        match result {
            Ok(outputs) => {
                stats.arm = Some(index);
                return NodeOutcome::new(Ok(outputs), stats);
            }
            Err(error) => failures.push(error),
        }
    }
    let why: Vec<&str> = failures.iter().map(Status::message).collect();
    let why = format!("every arm failed: {}", why.join("; "));
    // Of several kinds of failure the last arm's counts.
    let error = blame::for_arms(failures.iter().rev(), why)
        .unwrap_or_else(|| status::deadline_exceeded("no time was left to run an arm").into());
    NodeOutcome::new(Err(error), stats)
}
