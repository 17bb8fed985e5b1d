//! A node that calls a method of a gRPC server.

use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason};
use prost_reflect::DynamicMessage;
use tonic::Status;
use tracing::{Instrument, info_span};

use super::{Started, StepEnd};
use crate::call::{CallStats, PolicyClient};
use crate::check::{GrpcCall, Node, NodeKind};
use crate::exec::blame;
use crate::exec::call::fit_argument;
use crate::exec::context::Context;
use crate::exec::record::Facts;
use crate::grpc::Method;
use crate::protobuf;

/// Starts a call. An argument that is absent is a field that is not set; a list of none is sent as
/// it is.
pub(super) fn start<'a>(
    context: Context<'a>,
    calls: &'a PolicyClient<Method>,
    node: &'a Node,
    arguments: Vec<Option<Tensor>>,
) -> Started<'a> {
    let NodeKind::Grpc(call) = &node.kind else {
        return Started::Now(StepEnd::failed(status::internal(
            "a node is not bound to what it runs",
        )));
    };
    let request = match request(context, node, call, arguments) {
        Ok(request) => request,
        Err(error) => return Started::Now(StepEnd::failed(error)),
    };
    let deadline = context.node_deadline(node);
    let span = info_span!(
        "node",
        node = %node.name,
        grpc = &call.path[1..],
        endpoint = calls.upstream().remote().name()
    );
    let run = async move {
        let mut call_stats = CallStats::default();
        let answer = calls.call(request, deadline, &mut call_stats).await;
        let facts = Facts {
            call_stats,
            ..Facts::default()
        };
        StepEnd::new(
            answer.and_then(|messages| outputs(node, call, &messages)),
            facts,
        )
    };
    Started::Later(Box::pin(run.instrument(span)))
}

/// The request with these argument values.
fn request(
    context: Context<'_>,
    node: &Node,
    call: &GrpcCall,
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
    call: &GrpcCall,
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
