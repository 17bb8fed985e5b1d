//! `fallback`: the first arm that does not fail.

use std::sync::Arc;

use motet_runtime::status;
use tokio::time::Instant;
use tonic::Status;

use super::{Inside, StepEnd};
use crate::check::Body;
use crate::exec::blame;
use crate::exec::context::Context;
use crate::exec::record::Facts;
use crate::plan::Graph;

/// Runs arm after arm until one answers or there is no time left.
pub(super) async fn run<'a>(
    context: Context<'a>,
    arms: &'a [Body],
    graphs: &'a [Arc<Graph>],
    inside: &Inside<'a>,
) -> StepEnd {
    let mut facts = Facts::default();
    let mut failures = Vec::new();
    for (index, (arm, graph)) in arms.iter().zip(graphs).enumerate() {
        if context.terms.deadline.is_past(Instant::now()) {
            break;
        }
        let (result, record) = inside.body(context, arm, graph).await.split(index, None);
        facts.inside.push(record);
        match result {
            Ok(outputs) => {
                facts.arm = Some(index);
                return StepEnd::new(Ok(outputs), facts);
            }
            Err(error) => failures.push(error),
        }
    }
    let why: Vec<&str> = failures.iter().map(Status::message).collect();
    let why = format!("every arm failed: {}", why.join("; "));
    // Of several kinds of failure the last arm's counts.
    let error = blame::for_arms(failures.iter().rev(), why)
        .unwrap_or_else(|| status::deadline_exceeded("no time was left to run an arm").into());
    StepEnd::new(Err(error), facts)
}
