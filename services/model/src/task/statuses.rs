//! Statuses of calls that a task refuses or fails, with the `google.rpc` details that all others
//! have.

use std::fmt::Display;

use motet_runtime::status::{self, Reason, internal};
use tonic::Status;

/// Returns the status of a request with mistakes, each the field at fault, such as `image[3]`, and
/// what is wrong with it: INVALID_ARGUMENT, with a violation for each.
///
/// ```
/// use motet_service::task::invalid_arguments;
///
/// let status = invalid_arguments([("image[3]", "is no JPEG or PNG")]);
/// assert_eq!(status.code(), tonic::Code::InvalidArgument);
/// assert_eq!(status.message(), "image[3]: is no JPEG or PNG");
/// ```
pub fn invalid_arguments<F, D>(mistakes: impl IntoIterator<Item = (F, D)>) -> Status
where
    F: Into<String>,
    D: Into<String>,
{
    status::invalid_arguments(mistakes).build()
}

/// Returns the status of a request with fields over a limit, each the field and which limit it is
/// over: RESOURCE_EXHAUSTED (`OVER_LIMIT`), with a violation for each. A retry does not help.
pub fn over_limits<F, D>(fields: impl IntoIterator<Item = (F, D)>) -> Status
where
    F: Into<String>,
    D: Into<String>,
{
    let fields = status::invalid_arguments(fields);
    fields.reason(Reason::OverLimit).build()
}

/// Returns the status of a call that the model could not compute, by no fault of the caller:
/// INTERNAL (`MODEL_FAILED`).
pub fn model_failed(error: impl Display) -> Status {
    let failed = internal(error.to_string());
    failed.reason(Reason::ModelFailed).build()
}
