//! `split`: one arm by weight; shadows beside it.

use std::sync::Arc;

use motet_proto::tensor::Tensor;
use motet_runtime::metrics::ShadowMetrics;
use tokio::sync::oneshot;
use tonic::Status;

use super::{Inside, StepEnd};
use crate::check::{Body, Split};
use crate::compute::{compute, copying};
use crate::exec::body;
use crate::exec::compare::same;
use crate::exec::context::Context;
use crate::exec::elements::ElementCount;
use crate::exec::record::Facts;
use crate::plan::Graph;
use crate::plan::split_state::{SplitState, pick_weighted};

/// Runs one arm. A shadow runs beside it, as a task of its own, since nobody waits for it: it has
/// until the request's deadline, and there are only so many at a time.
pub(super) async fn run<'a>(
    context: Context<'a>,
    split: &'a Split,
    graphs: &'a [Arc<Graph>],
    state: &'a SplitState,
    inside: &Inside<'a>,
) -> StepEnd {
    let key = split
        .sticky
        .and_then(|argument| inside.arguments.get(argument)?.as_ref());
    let at = match key {
        Some(key) => state.sticky_fraction(key.data()),
        None => state.random_fraction(),
    };
    let (arm_graphs, shadow_graphs) = graphs.split_at(split.arms.len().min(graphs.len()));
    let index = pick_weighted(split.arms.iter().map(|(weight, _)| *weight), at);
    let mut waiting = Vec::new();
    for (shadow, graph) in shadow_graphs.iter().enumerate() {
        let (percent, body) = &split.shadow[shadow];
        if state.random_fraction() * 100.0 < *percent {
            waiting.extend(spawn(
                context,
                (body, graph),
                &state.metrics[shadow],
                state,
                inside,
            ));
        }
    }
    let end = inside
        .body(context, &split.arms[index].1, &arm_graphs[index])
        .await;
    let (result, record) = end.split(index, None);
    for answered in waiting {
        // A shadow that is gone compares nothing.
        let _ = answered.send(result.as_ref().ok().cloned());
    }
    let facts = Facts {
        arm: Some(index),
        inside: vec![record],
        ..Facts::default()
    };
    StepEnd::new(result, facts)
}

/// `true` if the answer of a shadow is approximately that of the request.
async fn agree(own: Results, answered: Results) -> Result<bool, Status> {
    let tensors = own.iter().flatten();
    let bytes = tensors.map(|tensor| tensor.data().len()).sum();
    compute(copying(bytes), move |_| same(&own, &answered)).await
}

type Results = Vec<Option<Tensor>>;
type Answered = oneshot::Sender<Option<Results>>;

/// Starts a shadow, which waits for the answer to compare its own with.
fn spawn<'a>(
    context: Context<'a>,
    (body, graph): (&Arc<Body>, &Arc<Graph>),
    metrics: &ShadowMetrics,
    state: &'a SplitState,
    inside: &Inside<'a>,
) -> Option<Answered> {
    let metrics = metrics.clone();
    let Some(permit) = state.shadow_permit() else {
        metrics.record("refused");
        return None;
    };
    let (send, answered): (Answered, _) = oneshot::channel();
    let (plan, body, graph) = (context.plan.clone(), body.clone(), graph.clone());
    let (arguments, lengths) = (inside.arguments.clone(), inside.lengths.clone());
    let terms = context.terms;
    tokio::spawn(async move {
        let _permit = permit;
        // A shadow has a number and counts of its own: nothing that it does is the request's.
        let elements = ElementCount::default();
        let context = Context::new(&plan, terms, &elements);
        let run = async {
            let end = body::run(context, &body, &graph, arguments, lengths).await;
            Ok((end.result, answered.await.ok().flatten()))
        };
        metrics.record(match terms.deadline.run(run).await {
            Ok((Err(_), _)) | Err(_) => "failed",
            Ok((Ok(own), Some(answered))) => match agree(own, answered).await {
                Ok(true) => "same",
                Ok(false) => "different",
                Err(_) => "failed",
            },
            Ok((Ok(_), None)) => "unanswered",
        });
    });
    Some(send)
}
