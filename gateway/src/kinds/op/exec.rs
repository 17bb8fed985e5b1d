//! A node that runs inside the gateway.

use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason, StatusBuilder};
use tonic::Status;
use tracing::{Instrument, info_span};

use super::plan::Bound;
use crate::check::Node;
use crate::compute::{Cancel, INLINE_WORK_MAX, compute};
use crate::exec::context::Context;
use crate::exec::step::{NodeCall, NodeOutcome, RunKind, Started};
use crate::exec::{blame, call};
use crate::ops::{ArgumentId, BoundOp, OpError, OpErrorKind, Outputs, WORK_MAX};

impl RunKind for Bound {
    /// Runs the op: at once if it is little work, else on a thread of its own, where it stops when
    /// the node is dropped.
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a> {
        start(self.op, call)
    }
}

fn start<'a>(op: BoundOp, call: NodeCall<'a, '_>) -> Started<'a> {
    let (context, node) = (call.context, call.node);
    let (mut arguments, settings) = (call.arguments, call.settings);
    if let Err(error) = fit_arguments(context, node, &mut arguments) {
        return Started::Ready(NodeOutcome::failed(error));
    }
    let work = op.work(&arguments, &settings);
    if work > WORK_MAX {
        let error = status::resource_exhausted(
            format!(
                "{} would take {work} operations: the limit is {WORK_MAX}",
                op.name()
            ),
            None,
        );
        let error = error.reason(Reason::OverLimit).node(&node.name);
        return Started::Ready(NodeOutcome::failed(error));
    }
    let span = info_span!("node", node = %node.name, op = op.name());
    if work <= INLINE_WORK_MAX {
        let result = span.in_scope(|| op.run(&arguments, &settings, &Cancel::default()));
        return Started::Ready(end(context, node, result).with_work(work));
    }
    let run = async move {
        let result = compute(work, move |cancel| op.run(&arguments, &settings, cancel)).await;
        result.map_or_else(NodeOutcome::failed, |result| end(context, node, result))
    };
    Started::Pending(Box::pin(run.instrument(span)))
}

/// Arguments as their ports take them: `bytes` for `string` must prove to be UTF-8.
fn fit_arguments(
    context: Context<'_>,
    node: &Node,
    arguments: &mut [Option<Tensor>],
) -> Result<(), Status> {
    let with_arguments = node.inputs.iter().zip(arguments).enumerate();
    for (index, (argument, value)) in with_arguments {
        if argument.element != argument.ty.element
            && let Some(tensor) = value.take()
        {
            let fitted = call::fit_argument(argument, tensor).map_err(|why| {
                let argument = [ArgumentId::Input(index)];
                blame::for_arguments(context, node, &argument, &why).build()
            })?;
            *value = Some(fitted);
        }
    }
    Ok(())
}

fn end(context: Context<'_>, node: &Node, result: Result<Outputs, OpError>) -> NodeOutcome {
    match result {
        Ok(outputs) => NodeOutcome::done(outputs),
        Err(error) => NodeOutcome::failed(into_status(context, node, &error)),
    }
}

fn into_status(context: Context<'_>, node: &Node, error: &OpError) -> StatusBuilder {
    match error.kind {
        OpErrorKind::OutputTooLarge => status::resource_exhausted(error.to_string(), None)
            .reason(Reason::OverLimit)
            .node(&node.name),
        _ => blame::for_arguments(context, node, &error.arguments, &error.to_string()),
    }
}
