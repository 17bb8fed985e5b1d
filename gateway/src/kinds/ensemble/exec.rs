//! `ensemble`: all arms at once, combined.

use futures::stream::{FuturesUnordered, StreamExt};
use motet_runtime::deadline::Deadline;
use motet_runtime::status::{self, Reason};
use tokio::time::Instant;
use tonic::Status;

use super::plan::Bound;
use crate::compute::compute;
use crate::exec::blame;
use crate::exec::context::Context;
use crate::exec::record::NodeStats;
use crate::exec::step::{BodyArguments, NodeCall, NodeOutcome, RunKind, Started};
use crate::exec::time::before_way_out;
use crate::ops::combine::{self, Combine, Results};

/// The result of each arm: `None` while it has not ended.
type Ends = Vec<Option<Result<Results, Status>>>;

impl RunKind for Bound {
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a> {
        call.start_bodies(move |context, arguments| run(context, self, arguments))
    }
}

/// Runs all arms, and combines those that answer in time, if they are enough.
async fn run<'a>(
    context: Context<'a>,
    ensemble: &'a Bound,
    arguments: BodyArguments<'a>,
) -> NodeOutcome {
    let mut ends: Ends = ensemble.arms.iter().map(|_| None).collect();
    let mut stats = NodeStats::default();
    let until = context.limits.deadline;
    // Results of fewer arms must still be combined.
    let until = match ensemble.quorum < ensemble.arms.len() {
        true => before_way_out(Instant::now(), until),
        false => until,
    };
    let deadline = match ensemble.deadline {
        Some(limit) => until.min(Deadline::within(limit)),
        None => until,
    };
    {
        let arguments = &arguments;
        let arms = ensemble.arms.iter().enumerate();
        let mut running: FuturesUnordered<_> = arms
            .map(|(index, arm)| async move { (index, arguments.run(context, arm).await) })
            .collect();
        let gather = async {
            while let Some((index, end)) = running.next().await {
                let (result, record) = end.split(index, None);
                stats.nested.push(record);
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
    let result = match decide(ensemble, &ends, &mut stats) {
        Ok(parts) => combined(&ensemble.combine, parts).await,
        Err(error) => Err(error),
    };
    NodeOutcome::new(result, stats)
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
    ensemble: &Bound,
    ends: &Ends,
    stats: &mut NodeStats,
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
        stats.degraded = Some(why);
        return Ok(parts);
    }
    let why = format!("{why} ({} must)", ensemble.quorum);
    let failures = ends.iter().flatten().filter_map(|end| end.as_ref().err());
    let error = blame::for_arms(failures, why.clone());
    Err(error.unwrap_or_else(|| status::deadline_exceeded(why).into()))
}
