//! A node that runs inside the gateway.

use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason};
use tracing::info_span;

use super::{Ready, Started, StepEnd};
use crate::check::{Node, Source};
use crate::ops::{self, OpError, OpKind};

/// Runs an op; one that is much work on a thread of its own.
pub(super) fn start<'a>(kind: OpKind, ready: Ready<'a, '_>) -> Started<'a> {
    let Ready {
        node,
        arguments,
        settings,
        ..
    } = ready;
    let span = info_span!("node", node = %node.name, op = ?kind);
    if !ops::is_heavy(kind, &arguments) {
        let result = span.in_scope(|| ops::run(kind, &arguments, &settings));
        return Started::Now(end(node, result));
    }
    let task = tokio::task::spawn_blocking(move || {
        span.in_scope(|| ops::run(kind, &arguments, &settings))
    });
    Started::Later(Box::pin(async move {
        match task.await {
            Ok(result) => end(node, result),
            Err(_) => StepEnd::failed(status::internal(format!("node {} panicked", node.name))),
        }
    }))
}

/// The first of two values that is there.
pub(super) fn default(arguments: Vec<Option<Tensor>>) -> StepEnd {
    StepEnd::done(vec![arguments.into_iter().flatten().next()])
}

fn end(node: &Node, result: Result<Vec<Tensor>, OpError>) -> StepEnd {
    let error = match result {
        Ok(outputs) => return StepEnd::done(outputs.into_iter().map(Some).collect()),
        Err(error) => error,
    };
    // Values that come straight from the request are the caller's to mend.
    let of_request = node
        .inputs
        .iter()
        .find_map(|argument| match argument.source {
            Source::Input(_) => Some(argument.port.as_str()),
            _ => None,
        });
    let status = match (&error, of_request) {
        (OpError::TooLarge, _) => {
            status::resource_exhausted(error.to_string(), None).reason(Reason::OverLimit)
        }
        (OpError::Index { .. } | OpError::Width { .. }, Some(port)) => {
            status::invalid_argument(port, error.to_string())
        }
        _ => status::internal(error.to_string()).reason(Reason::OpFailed),
    };
    StepEnd::failed(status.node(&node.name))
}
