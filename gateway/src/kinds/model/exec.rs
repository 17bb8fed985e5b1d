//! A node that calls a model.

use motet_proto::oip::{self, PRIORITY};
use motet_proto::tensor::Tensor;
use motet_runtime::usage::Usage;
use tracing::{Instrument, info_span};

use super::plan::Bound;
use crate::call::{CallRecorder, CallStats};
use crate::check::Node;
use crate::exec::call::{self, ModelAnswer};
use crate::exec::record::NodeStats;
use crate::exec::step::{NodeCall, NodeOutcome, RunKind, Started};
use crate::exec::symbols::SymbolBindings;
use crate::model::ModelClient;

impl RunKind for Bound {
    /// Starts a call. An empty list is answered at once.
    fn start<'a>(&'a self, mut call: NodeCall<'a, '_>) -> Started<'a> {
        let node = call.node;
        let arguments = match call.take_present() {
            Ok(arguments) => arguments,
            Err(error) => return Started::Ready(NodeOutcome::failed(error)),
        };
        if call::is_empty(node, &arguments)
            && let Some(outputs) = empty_outputs(node, call.lengths)
        {
            return Started::Ready(NodeOutcome::done(outputs));
        }
        start_call(&self.client, call, arguments)
    }
}

fn start_call<'a>(
    client: &'a ModelClient,
    call: NodeCall<'a, '_>,
    arguments: Vec<Tensor>,
) -> Started<'a> {
    let (context, node) = (call.context, call.node);
    let rows = call::rows(node, &arguments);
    let mut request = match call::request(context, node, arguments, call.settings) {
        Ok(request) => request,
        Err(error) => return Started::Ready(NodeOutcome::failed(error)),
    };
    if let Some(priority) = context.limits.priority {
        let priority = oip::parameter(priority);
        request.parameters.insert(PRIORITY.to_owned(), priority);
    }
    if client.backend().is_motet() {
        context.hints.write(&mut request);
    }
    let deadline = context.node_deadline(node);
    let span = info_span!("node", node = %node.name, model = client.backend().model());
    let call = async move {
        let recorder = CallRecorder::default();
        let answer = client
            .infer(request, deadline, &recorder)
            .await
            .and_then(|response| call::answer(node, response));
        end(rows, recorder.stats(), answer)
    };
    Started::Pending(Box::pin(call.instrument(span)))
}

fn end(
    rows: usize,
    call_stats: CallStats,
    answer: Result<ModelAnswer, tonic::Status>,
) -> NodeOutcome {
    let known = call_stats
        .cache_hits
        .saturating_add(call_stats.cache_joined);
    let mut stats = NodeStats {
        rows: rows.saturating_sub(known as usize),
        call_stats,
        ..NodeStats::default()
    };
    let result = answer.map(|answer| {
        stats.queue = answer.queue;
        stats.compute = answer.compute;
        stats.batch_rows = answer.batch_rows;
        if let Some(usage) = Usage::current() {
            match &answer.unit {
                None => usage.add_tokens(answer.cost),
                Some(unit) => usage.add_cost(unit, answer.cost),
            }
        }
        answer.outputs
    });
    NodeOutcome::new(result, stats)
}

fn empty_outputs(node: &Node, lengths: &SymbolBindings) -> Option<Vec<Option<Tensor>>> {
    node.outputs
        .iter()
        .map(|o| lengths.empty(&o.ty).map(Some))
        .collect()
}
