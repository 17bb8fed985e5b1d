//! gRPC errors: the one place that makes them, with `google.rpc` details that a program can act on.
//!
//! Every error carries an `ErrorInfo` of domain `motet` with a [`Reason`], whose metadata names
//! what was involved (`pipeline`, `node`, `model`, ...). Bad input adds a `BadRequest` with one
//! violation for each field; overload adds a `RetryInfo`.
//!
//! An error travels in HTTP/2 headers, and clients refuse header lists of more than a few KiB:
//! texts and lists are cut to the limits below, so that a request with a thousand mistakes still
//! gets a readable error.
//!
//! * `reason`: the table of reasons.
//! * `page`: its documentation page.
//! * `read`: reading errors back, and adding to errors of other servers.
//! * `transport`: errors that are found before a handler runs.
//! * `upstream`: errors of other servers, as callers get them; `redact` makes their words fit.

mod page;
mod read;
mod reason;
mod redact;
mod transport;
mod upstream;

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;
use tonic_types::pb::bad_request::FieldViolation;

pub use page::page;
pub(crate) use read::from_headers;
pub use read::{Details, annotate, of_message, read, reworded, to_message};
pub use reason::{Fault, Reason, Retry};
pub use transport::{Oversized, malformed_message, oversized, undecoded_message, unknown_method};
pub use upstream::{UPSTREAM_CHARS_MAX, for_receipt, from_upstream, hidden};

/// The `ErrorInfo` domain of every error that motet makes.
pub const DOMAIN: &str = "motet";
/// Longest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 768;
/// Largest report, by [`report_size`]: with everything else, an error stays below 8 KiB.
pub const REPORT_SIZE_MAX: usize = 6 << 10;
/// Longest description of one field's mistake, and longest metadata value, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 200;
/// Most field violations in one error; the rest are counted in a last one.
pub const VIOLATIONS_MAX: usize = 12;

const TYPE_ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const TYPE_BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const TYPE_RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// An error under construction. Turns into a [`Status`] with `into()` or [`StatusBuilder::build`].
#[derive(Clone, Debug)]
#[must_use = "an error that is not returned is lost"]
pub struct StatusBuilder {
    reason: Reason,
    message: String,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
    metadata: HashMap<String, String>,
    is_report: bool,
}

impl StatusBuilder {
    /// An error with this reason, which decides the gRPC code.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            retry_after: None,
            metadata: HashMap::new(),
            is_report: false,
        }
    }

    /// Replaces the message by a report of several lines, which may be longer than a message: up to
    /// [`REPORT_SIZE_MAX`]. A longer one is cut as a message is.
    pub fn report(mut self, report: impl Into<String>) -> Self {
        self.message = report.into();
        self.is_report = true;
        self
    }

    /// Replaces the reason, and with it the code.
    pub fn reason(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }

    /// Names a field of the request and what is wrong with it.
    pub fn field(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.violations.push(FieldViolation {
            field: field.into(),
            description: cut(description.into(), DESCRIPTION_BYTES_MAX),
            ..FieldViolation::default()
        });
        self
    }

    /// Adds a `RetryInfo`: the delay after which a retry may succeed.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds a metadata entry, such as the limit that was exceeded.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata
            .insert(key.into(), cut(value.into(), DESCRIPTION_BYTES_MAX));
        self
    }

    /// Names the pipeline.
    pub fn pipeline(self, name: impl Into<String>) -> Self {
        self.with("pipeline", name)
    }

    /// Names the node of the pipeline.
    pub fn node(self, name: impl Into<String>) -> Self {
        self.with("node", name)
    }

    /// Names the model.
    pub fn model(self, name: impl Into<String>) -> Self {
        self.with("model", name)
    }

    /// The finished status.
    pub fn build(mut self) -> Status {
        let message = match self.is_report && report_size(&self.message) <= REPORT_SIZE_MAX {
            true => self.message,
            false => cut(self.message, MESSAGE_BYTES_MAX),
        };
        let mut details = vec![any(
            TYPE_ERROR_INFO,
            &pb::ErrorInfo {
                reason: self.reason.name().to_owned(),
                domain: DOMAIN.to_owned(),
                metadata: self.metadata,
            },
        )];
        if !self.violations.is_empty() {
            let all = self.violations.len();
            if all > VIOLATIONS_MAX {
                self.violations.truncate(VIOLATIONS_MAX - 1);
                self.violations.push(FieldViolation {
                    description: format!("and {} more", all - VIOLATIONS_MAX + 1),
                    ..FieldViolation::default()
                });
            }
            details.push(any(
                TYPE_BAD_REQUEST,
                &pb::BadRequest {
                    field_violations: self.violations,
                },
            ));
        }
        if let Some(delay) = self.retry_after {
            details.push(any(
                TYPE_RETRY_INFO,
                &pb::RetryInfo {
                    retry_delay: prost_types::Duration::try_from(delay).ok(),
                },
            ));
        }
        assemble(self.reason.code(), message, details)
    }
}

impl From<StatusBuilder> for Status {
    fn from(builder: StatusBuilder) -> Self {
        builder.build()
    }
}

/// The caller sent something wrong in `field`. The message names the field.
pub fn invalid_argument(field: impl Into<String>, description: impl Into<String>) -> StatusBuilder {
    let (field, description) = (field.into(), description.into());
    let message = format!("{field}: {description}");
    StatusBuilder::new(Reason::InvalidArgument, message).field(field, description)
}

/// The caller made these mistakes, as pairs of field and description. The message lists them.
pub fn invalid_arguments<F, D>(mistakes: impl IntoIterator<Item = (F, D)>) -> StatusBuilder
where
    F: Into<String>,
    D: Into<String>,
{
    let empty = StatusBuilder::new(Reason::InvalidArgument, "");
    let mut builder = mistakes
        .into_iter()
        .fold(empty, |builder, (field, description)| {
            builder.field(field, description)
        });
    let listed: Vec<_> = builder
        .violations
        .iter()
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect();
    builder.message = listed.join("; ");
    builder
}

/// A limit is exceeded; `retry_after` is `None` if a retry cannot help.
pub fn resource_exhausted(
    message: impl Into<String>,
    retry_after: Option<Duration>,
) -> StatusBuilder {
    let mut builder = StatusBuilder::new(Reason::ResourceExhausted, message);
    builder.retry_after = retry_after;
    builder
}

/// A request or an answer is larger than the limit.
pub fn message_too_large(message: impl Into<String>, limit: impl Into<String>) -> StatusBuilder {
    resource_exhausted(message, None)
        .reason(Reason::MessageTooLarge)
        .with("max_message_bytes", limit)
}

/// The answer is late, or would be.
pub fn deadline_exceeded(message: impl Into<String>) -> StatusBuilder {
    StatusBuilder::new(Reason::DeadlineExceeded, message)
}

/// A kind of thing that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A model.
    Model,
    /// A pipeline.
    Pipeline,
    /// A name that health knows.
    Service,
    /// A version of a model or pipeline.
    Version,
}

impl Resource {
    /// The word for it, which is also its metadata key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Pipeline => "pipeline",
            Self::Service => "service",
            Self::Version => "version",
        }
    }

    const fn not_found(self) -> Reason {
        match self {
            Self::Model => Reason::ModelNotFound,
            Self::Pipeline => Reason::PipelineNotFound,
            Self::Service => Reason::ServiceNotFound,
            Self::Version => Reason::VersionNotFound,
        }
    }
}

/// There is no `resource` of this name here.
pub fn not_found(resource: Resource, name: impl Into<String>) -> StatusBuilder {
    let name = cut(name.into(), DESCRIPTION_BYTES_MAX);
    let kind = resource.name();
    let message = format!("there is no {kind} {name:?} here");
    StatusBuilder::new(resource.not_found(), message).with(kind, name)
}

/// Something that this call needs does not answer.
pub fn unavailable(message: impl Into<String>) -> StatusBuilder {
    StatusBuilder::new(Reason::Unavailable, message)
}

/// The request is fine, but the server is not in a state to serve it (a model that is not loaded).
pub fn failed_precondition(message: impl Into<String>) -> StatusBuilder {
    StatusBuilder::new(Reason::FailedPrecondition, message)
}

/// The server failed by its own fault.
pub fn internal(message: impl Into<String>) -> StatusBuilder {
    StatusBuilder::new(Reason::Internal, message)
}

/// The name of a code as the gRPC documents write it, `DEADLINE_EXCEEDED`.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The status as trailers, where there is no other way left to answer it.
pub(crate) fn trailers(status: &Status) -> http::HeaderMap {
    let mut trailers = http::HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Its metadata does not fit headers, which the builders never produce.
        trailers.insert("grpc-status", (status.code() as i32).into());
    }
    trailers
}

fn any(type_url: &str, message: &impl Message) -> Any {
    Any {
        type_url: type_url.to_owned(),
        value: message.encode_to_vec(),
    }
}

fn assemble(code: Code, message: String, details: Vec<Any>) -> Status {
    let encoded = pb::Status {
        code: code as i32,
        message: message.clone(),
        details,
    }
    .encode_to_vec();
    Status::with_details(code, message, encoded.into())
}

/// The bytes that a message takes in the headers: percent-encoded, and once more in base64 beside
/// the details.
pub fn report_size(text: &str) -> usize {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"\"#<>`?{}%".contains(&b);
    let encoded: usize = text.bytes().map(|b| if is_plain(b) { 1 } else { 3 }).sum();
    encoded + text.len().div_ceil(3) * 4
}

/// Truncates `text` to at most `limit` bytes at a character boundary, with `...` at the end.
fn cut(mut text: String, limit: usize) -> String {
    const MARK: &str = "...";
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - MARK.len()));
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests;
