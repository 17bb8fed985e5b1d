//! `fallback`: the first arm that does not fail.

use std::sync::Arc;

use motet_runtime::status;
use tokio::time::Instant;

use super::{Inside, StepEnd};
use crate::check::Body;
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
    let mut last = None;
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
            Err(error) => {
                failures.push(error.message().to_owned());
                last = Some(error);
            }
        }
    }
    let error = match last {
        Some(error) => {
            status::reworded(&error, format!("every arm failed: {}", failures.join("; ")))
        }
        None => status::deadline_exceeded("no time was left to run an arm").into(),
    };
    StepEnd::new(Err(error), facts)
}
