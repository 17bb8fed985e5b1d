//! Failures as gRPC statuses. `Model` adds the model's name where a call ends.

use motet_batcher::{Refusal, RowError};
use motet_runtime::status::{
    Reason, StatusBuilder, deadline_exceeded, internal, invalid_argument, resource_exhausted,
    unavailable,
};
use std::time::Duration;

use crate::cpu_pool::{JOBS_MAX, PoolError};

/// The retry delay that a full thread pool suggests.
const POOL_RETRY_AFTER: Duration = Duration::from_millis(100);

/// Returns the status of a call that the batcher refused as a whole.
pub(crate) fn refusal(refused: &Refusal) -> StatusBuilder {
    let message = refused.to_string();
    match refused {
        Refusal::QueueFull { limit, retry_after } => {
            resource_exhausted(message, Some(*retry_after))
                .reason(Reason::QueueFull)
                .with("max_queue_size", limit.to_string())
        }
        Refusal::DeadlineTooShort { needed, allowed } => deadline_exceeded(message)
            .reason(Reason::DeadlineTooShort)
            .with("needed_ms", needed.as_millis().to_string())
            .with("allowed_ms", allowed.as_millis().to_string()),
        Refusal::WouldBeLate { retry_after, .. } => {
            resource_exhausted(message, Some(*retry_after)).reason(Reason::WouldBeLate)
        }
        Refusal::TooLarge { .. } => invalid_argument("inputs", message),
        Refusal::TooManyRows { limit, .. } => resource_exhausted(message, None)
            .reason(Reason::TooManyRows)
            .with("limit", limit.to_string()),
        Refusal::DeadlineExceeded => deadline_exceeded(message),
        Refusal::Stuck { .. } => unavailable(message).reason(Reason::ModelStuck),
        Refusal::Draining => unavailable(message).reason(Reason::Draining),
        Refusal::ExecutorDied { .. } => unavailable(message).reason(Reason::ModelDied),
    }
}

/// Returns the status of a call with a row that has no result; `field` names the row in the
/// request, `unit` is that of its cost.
pub(crate) fn row_error(field: &str, error: &RowError, unit: &str) -> StatusBuilder {
    let message = match error {
        RowError::OutOfMemory { tokens } => format!(
            "{field}: the device ran out of memory on this row alone, of {tokens} {unit}; send a \
             shorter one"
        ),
        error => format!("{field}: {error}"),
    };
    match error {
        RowError::Invalid(description) => invalid_argument(field, description),
        RowError::Failed(_) => internal(message).reason(Reason::ModelFailed),
        RowError::NotFinite => internal(message).reason(Reason::ResultNotFinite),
        RowError::OutOfMemory { .. } => {
            resource_exhausted(message, None).reason(Reason::OutOfMemory)
        }
        RowError::DeviceLost(_) => unavailable(message).reason(Reason::DeviceLost),
        RowError::Crashed(_) => unavailable(message).reason(Reason::ModelCrashed),
    }
    .with("row", field)
}

/// Returns the status of a call whose job on the thread pool has no result.
pub(crate) fn pool_error(error: &PoolError) -> StatusBuilder {
    match error {
        PoolError::Full => resource_exhausted(error.to_string(), Some(POOL_RETRY_AFTER))
            .with("limit", JOBS_MAX.to_string()),
        PoolError::Panicked(_) => internal(format!("the request's own work {error}")),
    }
}
