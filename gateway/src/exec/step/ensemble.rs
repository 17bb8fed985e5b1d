//! `ensemble`: all arms at once, combined.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt};
use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::status::{self, Reason};
use tonic::Status;

use super::{Inside, StepEnd};
use crate::check::Ensemble;
use crate::exec::context::Context;
use crate::exec::record::Facts;
use crate::ops::Cancel;
use crate::ops::combine::combine;
use crate::plan::Graph;

/// What each arm came to: `None` while it has not ended.
type Ends = Vec<Option<Result<Vec<Option<Tensor>>, Status>>>;

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
    let result = decide(ensemble, &ends, &mut facts).map(|parts| {
        let combined = combine(&ensemble.combine, &parts, &Cancel::default());
        combined.map_err(|e| {
            status::internal(e.to_string())
                .reason(Reason::OpFailed)
                .into()
        })
    });
    StepEnd {
        result: result.and_then(|combined| combined),
        facts,
    }
}

/// The arms that answered, by index, if they are enough.
fn decide(
    ensemble: &Ensemble,
    ends: &Ends,
    facts: &mut Facts,
) -> Result<Vec<Option<Vec<Option<Tensor>>>>, Status> {
    let parts: Vec<Option<Vec<Option<Tensor>>>> = ends
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
    let failure = ends.iter().flatten().find_map(|end| end.as_ref().err());
    Err(match failure {
        Some(error) => status::reworded(error, why),
        None => status::deadline_exceeded(why).into(),
    })
}
