//! A node that runs inside the gateway.

use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason};
use tracing::info_span;

use super::{Started, StepEnd};
use crate::check::{Node, Source};
use crate::ops::{ArgumentId, BoundOp, Cancel, OpError, OpErrorKind, Outputs, WORK_MAX};
use crate::scalar::Scalar;

/// Operations beyond which an op leaves the async runtime for a blocking thread: about a quarter
/// of a millisecond.
const INLINE_WORK_MAX: u64 = 1 << 18;

/// Runs an op; one that is much work on a thread of its own, where it stops when it is dropped.
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
        return Started::Now(end(node, result));
    }
    let (cancel, guard) = Cancel::on_drop();
    let task = tokio::task::spawn_blocking(move || {
        span.in_scope(|| op.run(&arguments, &settings, &cancel))
    });
    Started::Later(Box::pin(async move {
        let _guard = guard;
        match task.await {
            Ok(result) => end(node, result),
            Err(_) => StepEnd::failed(status::internal(format!("node {} panicked", node.name))),
        }
    }))
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
