//! A node that runs inside the gateway.

use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason};
use tracing::{Instrument, info_span};

use super::{Started, StepEnd};
use crate::check::{Node, Source};
use crate::compute::{Cancel, INLINE_WORK_MAX, compute};
use crate::ops::{ArgumentId, BoundOp, OpError, OpErrorKind, Outputs, WORK_MAX};
use crate::scalar::Scalar;

/// Runs an op: at once where that is little work, else on a thread of its own, where it stops when
/// the node is dropped.
pub(super) fn start<'a>(
    op: BoundOp,
    node: &'a Node,
    arguments: Vec<Option<Tensor>>,
    settings: Vec<Scalar>,
) -> Started<'a> {
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
        return Started::Now(StepEnd::failed(error));
    }
    let span = info_span!("node", node = %node.name, op = op.name());
    if work <= INLINE_WORK_MAX {
        let result = span.in_scope(|| op.run(&arguments, &settings, &Cancel::default()));
        return Started::Now(end(node, result).with_work(work));
    }
    let run = async move {
        let result = compute(work, move |cancel| op.run(&arguments, &settings, cancel)).await;
        result.map_or_else(StepEnd::failed, |result| end(node, result))
    };
    Started::Later(Box::pin(run.instrument(span)))
}

fn end(node: &Node, result: Result<Outputs, OpError>) -> StepEnd {
    match result {
        Ok(outputs) => StepEnd::done(outputs),
        Err(error) => StepEnd::failed(into_status(node, &error)),
    }
}

fn into_status(node: &Node, error: &OpError) -> tonic::Status {
    // A value that comes straight from the request is the caller's to mend.
    let of_caller = error.arguments.iter().find_map(|argument| match argument {
        ArgumentId::Input(input) => {
            let argument = node.inputs.get(*input)?;
            matches!(argument.source, Source::Input(_)).then_some(argument.port.as_str())
        }
        ArgumentId::Setting(_) => None,
    });
    let status = match (&error.kind, of_caller) {
        (OpErrorKind::OutputTooLarge, _) => {
            status::resource_exhausted(error.to_string(), None).reason(Reason::OverLimit)
        }
        (_, Some(port)) => status::invalid_argument(port, error.to_string()),
        _ => status::internal(error.to_string()).reason(Reason::OpFailed),
    };
    status.node(&node.name).into()
}
