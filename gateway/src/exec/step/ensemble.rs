//! `ensemble`: all arms at once, combined.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt};
use motet_runtime::deadline::Deadline;
use motet_runtime::status::{self, Reason};
use tonic::Status;

use super::{Inside, StepEnd};
use crate::check::Ensemble;
use crate::compute::compute;
use crate::exec::blame;
use crate::exec::context::Context;
use crate::exec::record::Facts;
use crate::ops::combine::{self, Combine, Results};
use crate::plan::Graph;

/// What each arm came to: `None` while it has not ended.
type Ends = Vec<Option<Result<Results, Status>>>;

/// Runs all arms, and combines those that answer in time, if they are enough.
pub(super) async fn run<'a>(
    context: Context<'a>,
    ensemble: &'a Ensemble,
    graphs: &'a [Arc<Graph>],
    inside: &Inside<'a>,
) -> StepEnd {
    let mut ends: Ends = ensemble.arms.iter().map(|_| None).collect();
    let mut facts = Facts::default();
    let deadline = match ensemble.deadline {
        Some(limit) => context.terms.deadline.min(Deadline::within(limit)),
        None => context.terms.deadline,
    };
    {
        let arms = ensemble.arms.iter().zip(graphs).enumerate();
        let mut running: FuturesUnordered<_> =
            arms.map(|(index, (arm, graph))| async move {
                (index, inside.body(context, arm, graph).await)
            })
            .collect();
        let gather = async {
            while let Some((index, end)) = running.next().await {
                let (result, record) = end.split(index, None);
                facts.inside.push(record);
                ends[index] = Some(result);
                let failed = ends.iter().flatten().filter(|end| end.is_err()).count();
                if ensemble.arms.len() - failed < ensemble.quorum {
                    // The quorum is out of reach: what still runs is cancelled.
                    return;
                }
            }
        };
        // Late arms are dropped, and with them their calls.
        let _ = tokio::time::timeout_at(deadline.instant(), gather).await;
    }
    let result = match decide(ensemble, &ends, &mut facts) {
        Ok(parts) => combined(&ensemble.combine, parts).await,
        Err(error) => Err(error),
    };
    StepEnd::new(result, facts)
}

/// The results of the arms that answered, combined.
async fn combined(how: &Combine, parts: Vec<Option<Results>>) -> Result<Results, Status> {
    let work = combine::work(how, &parts);
    let how = how.clone();
    let combined = compute(work, move |cancel| combine::combine(&how, &parts, cancel)).await?;
    combined.map_err(|e| {
        status::internal(e.to_string())
            .reason(Reason::OpFailed)
            .into()
    })
}

/// The arms that answered, by index, if they are enough.
fn decide(
    ensemble: &Ensemble,
    ends: &Ends,
    facts: &mut Facts,
) -> Result<Vec<Option<Results>>, Status> {
    let parts: Vec<Option<Results>> = ends
        .iter()
        .map(|end| end.as_ref().and_then(|end| end.as_ref().ok().cloned()))
        .collect();
    let answered = parts.iter().flatten().count();
    let missing: Vec<String> = ensemble
        .arms
        .iter()
        .zip(ends)
        .filter_map(|(arm, end)| match end {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.message().to_owned()),
            None => Some(format!("{} was not in time", arm.name)),
        })
        .collect();
    if missing.is_empty() {
        return Ok(parts);
    }
    let why = format!(
        "{answered} of {} arms answered: {}",
        ends.len(),
        missing.join("; ")
    );
    if answered >= ensemble.quorum {
        facts.degraded = Some(why);
        return Ok(parts);
    }
    let why = format!("{why} ({} must)", ensemble.quorum);
    let failures = ends.iter().flatten().filter_map(|end| end.as_ref().err());
    let error = blame::for_arms(failures, why.clone());
    Err(error.unwrap_or_else(|| status::deadline_exceeded(why).into()))
}
