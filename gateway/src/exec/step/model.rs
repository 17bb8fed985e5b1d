//! A node that calls a model.

use motet_proto::oip;
use motet_proto::tensor::Tensor;
use tracing::{Instrument, info_span};

use super::{Ready, Started, StepEnd};
use crate::call::CallStats;
use crate::check::Node;
use crate::exec::call::{self, Answer};
use crate::exec::context::Context;
use crate::exec::lengths::Lengths;
use crate::exec::record::Facts;
use crate::model::ModelClient;
use motet_proto::oip::PRIORITY;

/// Starts a call. A list of none is answered on the spot.
pub(super) fn start<'a>(
    context: Context<'a>,
    upstream: &'a ModelClient,
    ready: Ready<'a, '_>,
) -> Started<'a> {
    let node = ready.node;
    if call::is_empty(node, &ready.arguments)
        && let Some(outputs) = empty_outputs(node, ready.lengths)
    {
        return Started::Now(StepEnd::done(outputs));
    }
    let rows = call::rows(node, &ready.arguments);
    let mut request = match call::request(context, node, ready.arguments, ready.settings) {
        Ok(request) => request,
        Err(error) => return Started::Now(StepEnd::failed(error)),
    };
    if let Some(priority) = context.terms.priority {
        let priority = oip::parameter(priority);
        request.parameters.insert(PRIORITY.to_owned(), priority);
    }
    if upstream.backend().is_motet() {
        context.lookahead.write(&mut request);
    }
    let deadline = context.node_deadline(node);
    let span = info_span!("node", node = %node.name, model = upstream.backend().model());
    let call = async move {
        let mut call_stats = CallStats::default();
        let answer = upstream
            .infer(request, deadline, &mut call_stats)
            .await
            .and_then(|response| call::answer(node, response));
        end(rows, call_stats, answer)
    };
    Started::Later(Box::pin(call.instrument(span)))
}

fn end(rows: usize, call_stats: CallStats, answer: Result<Answer, tonic::Status>) -> StepEnd {
    let known = call_stats
        .cache_hits
        .saturating_add(call_stats.cache_joined);
    let mut facts = Facts {
        rows: rows.saturating_sub(known as usize),
        call_stats,
        ..Facts::default()
    };
    let result = answer.map(|answer| {
        facts.queue = answer.queue;
        facts.compute = answer.compute;
        facts.batch_rows = answer.batch_rows;
        answer.outputs
    });
    StepEnd::new(result, facts)
}

fn empty_outputs(node: &Node, lengths: &Lengths) -> Option<Vec<Option<Tensor>>> {
    node.outputs
        .iter()
        .map(|o| lengths.empty(&o.ty).map(Some))
        .collect()
}
