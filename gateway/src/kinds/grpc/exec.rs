//! A node that calls a method of a gRPC server.

use std::sync::Arc;

use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason};
use prost::Message;
use prost_reflect::DynamicMessage;
use tonic::Status;
use tracing::{Instrument, info_span};

use super::check::Checked;
use super::plan::Bound;
use crate::call::CallRecorder;
use crate::check::Node;
use crate::compute::{compute_here, converting};
use crate::exec::blame;
use crate::exec::call::fit_argument;
use crate::exec::context::Context;
use crate::exec::record::NodeStats;
use crate::exec::step::{NodeCall, NodeOutcome, RunKind, Started};
use crate::protobuf;

impl RunKind for Bound {
    /// Starts a call. An argument that is absent is a field that is not set; an empty list is sent
    /// as it is.
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a> {
        start(self, call)
    }
}

fn start<'a>(bound: &'a Bound, node_call: NodeCall<'a, '_>) -> Started<'a> {
    let (context, node) = (node_call.context, node_call.node);
    let (client, call) = (&*bound.client, &*bound.call);
    let arguments = node_call.arguments;
    let bytes = arguments
        .iter()
        .flatten()
        .map(|argument| argument.data().len());
    let work = converting(bytes.sum());
    let request = match compute_here(work, || request(context, node, call, arguments)) {
        Ok(request) => request,
        Err(error) => return Started::Ready(NodeOutcome::failed(error)),
    };
    let deadline = context.node_deadline(node);
    let span = info_span!(
        "node",
        node = %node.name,
        grpc = &call.path[1..],
        endpoint = client.upstream().remote().name()
    );
    let run = async move {
        let recorder = CallRecorder::default();
        let answer = client.call(Arc::new(request), deadline, &recorder).await;
        let stats = NodeStats {
            call_stats: recorder.stats(),
            ..NodeStats::default()
        };
        NodeOutcome::new(
            answer.and_then(|messages| {
                let bytes = messages.iter().map(DynamicMessage::encoded_len).sum();
                compute_here(converting(bytes), || outputs(node, call, &messages))
            }),
            stats,
        )
    };
    Started::Pending(Box::pin(run.instrument(span)))
}

/// The request with these argument values.
fn request(
    context: Context<'_>,
    node: &Node,
    call: &Checked,
    arguments: Vec<Option<Tensor>>,
) -> Result<DynamicMessage, Status> {
    let mut fields = Vec::with_capacity(arguments.len());
    let arguments = node.inputs.iter().zip(arguments).enumerate();
    for ((index, (argument, value)), path) in arguments.zip(&call.arguments) {
        let Some(value) = value else { continue };
        let value = fit_argument(argument, value)
            .map_err(|why| blame::for_unfit(context, node, index, &why))?;
        fields.push((index, path, value));
    }
    let values = fields.iter().map(|(_, path, value)| (*path, value));
    protobuf::write(&call.request, values)
        .map_err(|(at, error)| blame::for_unfit(context, node, fields[at].0, &error.to_string()))
}

/// The node's outputs, in their order: `None` where nothing reads one or it is absent.
fn outputs(
    node: &Node,
    call: &Checked,
    messages: &[DynamicMessage],
) -> Result<Vec<Option<Tensor>>, Status> {
    let streaming = call.messages_max.is_some();
    let each = node.outputs.iter().zip(&call.outputs);
    each.map(|(produced, output)| {
        if !produced.used {
            return Ok(None);
        }
        protobuf::read(&output.path, messages, streaming, output.optional).map_err(|error| {
            Status::from(
                status::internal(format!(
                    "node {} got a wrong answer: `{}`: {error}",
                    node.name, produced.name
                ))
                .reason(Reason::BadAnswer)
                .node(&node.name),
            )
        })
    })
    .collect()
}
