//! `split`: one arm by weight; shadows beside it.

mod compare;

use motet_proto::tensor::Tensor;
use motet_runtime::flow::Flow;
use motet_runtime::forward::Forwarded;
use tokio::sync::oneshot;
use tonic::Status;

use super::plan::{Bound, Shadow, pick_weighted};
use crate::compute::{compute, copying};
use crate::exec::context::Context;
use crate::exec::elements::ElementCount;
use crate::exec::record::NodeStats;
use crate::exec::run::run_body;
use crate::exec::step::{BodyArguments, NodeCall, NodeOutcome, RunKind, Started};
use compare::approximately_equal;

impl RunKind for Bound {
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a> {
        call.start_bodies(move |context, arguments| run(context, self, arguments))
    }
}

/// Runs one arm. A shadow runs beside it, as a task of its own, since the request does not wait
/// for it: it has until the request's deadline, and there is a limit on those that run.
async fn run<'a>(
    context: Context<'a>,
    split: &'a Bound,
    arguments: BodyArguments<'a>,
) -> NodeOutcome {
    let state = &split.state;
    let key = split
        .sticky
        .and_then(|argument| arguments.arguments.get(argument)?.as_ref());
    let at = match key {
        Some(key) => state.sticky_fraction(key.data()),
        None => state.random_fraction(),
    };
    let index = pick_weighted(split.arms.iter().map(|(weight, _)| *weight), at);
    let mut waiting = Vec::new();
    for shadow in &split.shadows {
        if state.random_fraction() * 100.0 < shadow.percent {
            waiting.extend(spawn(context, split, shadow, &arguments));
        }
    }
    let end = arguments.run(context, &split.arms[index].1).await;
    let (result, record) = end.split(index, None);
    for answered in waiting {
        // A shadow that is gone compares nothing.
        let _ = answered.send(result.as_ref().ok().cloned());
    }
    let stats = NodeStats {
        arm: Some(index),
        nested: vec![record],
        ..NodeStats::default()
    };
    NodeOutcome::new(result, stats)
}

/// `true` if the answer of a shadow is approximately that of the request.
async fn agree(own: Results, answered: Results) -> Result<bool, Status> {
    let tensors = own.iter().flatten();
    let bytes = tensors.map(|tensor| tensor.data().len()).sum();
    compute(copying(bytes), move |_| {
        approximately_equal(&own, &answered)
    })
    .await
}

type Results = Vec<Option<Tensor>>;
type Answered = oneshot::Sender<Option<Results>>;

/// Starts a shadow, which waits for the answer to compare its own with.
fn spawn<'a>(
    context: Context<'a>,
    split: &Bound,
    shadow: &Shadow,
    arguments: &BodyArguments<'a>,
) -> Option<Answered> {
    let metrics = shadow.metrics.clone();
    let Some(permit) = split.state.shadow_permit() else {
        metrics.record("refused");
        return None;
    };
    let (send, answered): (Answered, _) = oneshot::channel();
    let (plan, body) = (context.plan.clone(), shadow.body.clone());
    let (arguments, lengths) = (arguments.arguments.clone(), arguments.lengths.clone());
    let limits = context.limits;
    let shadow = async move {
        let _permit = permit;
        // A shadow has a number and counts of its own: nothing that it does is the request's.
        let elements = ElementCount::default();
        let context = Context::new(&plan, limits, &elements);
        let run = async {
            let end = run_body(context, &body, arguments, lengths).await;
            Ok((end.result, answered.await.ok().flatten()))
        };
        metrics.record(match limits.deadline.run(run).await {
            Ok((Err(_), _)) | Err(_) => "failed",
            Ok((Ok(own), Some(answered))) => match agree(own, answered).await {
                Ok(true) => "same",
                Ok(false) => "different",
                Err(_) => "failed",
            },
            Ok((Ok(_), None)) => "unanswered",
        });
    };
    let shadow = Flow::current().scope(shadow);
    tokio::spawn(Forwarded::current().scope(shadow));
    Some(send)
}
