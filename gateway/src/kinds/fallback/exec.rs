//! `fallback`: the first arm that does not fail.

use std::time::Duration;

use motet_runtime::status;
use tokio::time::Instant;
use tonic::Status;

use super::plan::Bound;
use crate::exec::blame;
use crate::exec::context::Context;
use crate::exec::record::NodeStats;
use crate::exec::step::{BodyArguments, NodeCall, NodeOutcome, RunKind, Started};
use crate::exec::time::before_ways_out;
use crate::plan::forecast::SizeClass;
use crate::plan::{BoundBody, Graph};

impl RunKind for Bound {
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a> {
        call.start_bodies(move |context, arguments| run(context, self, arguments))
    }
}

/// Runs arm after arm until one answers or there is no time left. Arms share the time: each leaves
/// what those after it are expected to need.
async fn run<'a>(
    context: Context<'a>,
    fallback: &'a Bound,
    arguments: BodyArguments<'a>,
) -> NodeOutcome {
    let mut stats = NodeStats::default();
    let mut failures = Vec::new();
    let until = context.limits.deadline;
    let tensors = arguments.arguments.iter().flatten();
    let size = SizeClass::of(tensors.map(|tensor| tensor.data().len()).sum());
    for (index, arm) in fallback.arms.iter().enumerate() {
        let now = Instant::now();
        if until.is_past(now) {
            break;
        }
        let later = fallback.arms[index + 1..].iter();
        let later: Vec<Duration> = later.map(|arm| expected(arm, size)).collect();
        let mut context = context;
        context.limits.deadline = before_ways_out(now, until, &later);
        let run = arguments.run(context, arm);
        let Ok(end) = tokio::time::timeout_at(context.limits.deadline.instant(), run).await else {
            let late = format!("{} was not in time", arm.name);
            failures.push(status::deadline_exceeded(late).into());
            continue;
        };
        let (result, record) = end.split(index, None);
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

/// Returns how long an arm is expected to take for arguments of this size; zero if unknown.
fn expected(arm: &BoundBody, size: SizeClass) -> Duration {
    let Graph {
        latencies,
        topology,
        ..
    } = &arm.graph;
    latencies.forecast(topology, size).median()
}
