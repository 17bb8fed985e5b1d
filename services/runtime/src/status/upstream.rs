//! Errors of other servers, as the callers of this one get them.
//!
//! A code of another server says what failed between that server and its caller, which is this
//! process. [`CODES`] says what that means for this process's own callers. An error that motet made
//! itself keeps its reason. The words are those of the other server, without what only concerns the
//! way to it.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};

use super::{DOMAIN, Details, Reason, StatusBuilder, code_name, read, redact};

/// Longest words of another server, in characters.
pub const UPSTREAM_CHARS_MAX: usize = 512;
/// Longest delay of a `RetryInfo` that is passed on.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);
/// Most metadata entries of an error of another motet.
const METADATA_MAX: usize = 16;

/// One code of another server: the reason of the error that callers get, which decides their code,
/// and why.
pub(super) struct Row {
    pub(super) code: Code,
    pub(super) reason: Reason,
    pub(super) why: &'static str,
}

const fn row(code: Code, reason: Reason, why: &'static str) -> Row {
    Row { code, reason, why }
}

/// Every code of another server.
pub(super) const CODES: [Row; 16] = [
    row(
        Code::Cancelled,
        Reason::Unavailable,
        "The caller cancelled nothing: the server gave the call up.",
    ),
    row(Code::Unknown, Reason::Unknown, "It says no more."),
    row(
        Code::InvalidArgument,
        Reason::InvalidArgument,
        "Its input is made of the caller's.",
    ),
    row(
        Code::DeadlineExceeded,
        Reason::DeadlineExceeded,
        "Its deadline is what was left of the caller's.",
    ),
    row(
        Code::NotFound,
        Reason::NotFound,
        "The call asks for something that it does not have.",
    ),
    row(
        Code::AlreadyExists,
        Reason::AlreadyExists,
        "The call makes something that it has already.",
    ),
    row(
        Code::PermissionDenied,
        Reason::UpstreamDenied,
        "The credentials are those of this process, which the caller cannot change.",
    ),
    row(
        Code::ResourceExhausted,
        Reason::ResourceExhausted,
        "Its limits limit the caller, too.",
    ),
    row(
        Code::FailedPrecondition,
        Reason::FailedPrecondition,
        "Something else has to be changed first.",
    ),
    row(
        Code::Aborted,
        Reason::Aborted,
        "The call may be made again.",
    ),
    row(
        Code::OutOfRange,
        Reason::OutOfRange,
        "Its input is made of the caller's.",
    ),
    row(
        Code::Unimplemented,
        Reason::UpstreamUnimplemented,
        "The method that the caller called exists; the one that the pipeline names does not.",
    ),
    row(Code::Internal, Reason::Internal, "It failed."),
    row(
        Code::Unavailable,
        Reason::Unavailable,
        "What the call needs is away.",
    ),
    row(Code::DataLoss, Reason::DataLoss, "It lost data."),
    row(
        Code::Unauthenticated,
        Reason::UpstreamDenied,
        "The credentials are those of this process, which the caller cannot change.",
    ),
];

/// The error of another server as callers get it: the code by the table of the page of errors, or
/// motet's own reason if motet made the error; the words without control characters and addresses,
/// at most [`UPSTREAM_CHARS_MAX`] characters; a `RetryInfo` and the fields of a `BadRequest`.
/// Headers, trailers and other details are left out.
pub fn from_upstream(error: &Status) -> Status {
    let details = read(error);
    let own = Some(&details).filter(|d| d.domain == DOMAIN);
    let own = own.and_then(|d| Reason::from_name(&d.reason));
    let reason = own.unwrap_or_else(|| reason_of(error.code()));
    let words = redact::words(error.message(), UPSTREAM_CHARS_MAX);
    let mut builder = StatusBuilder::new(reason, words);
    if own.is_some() {
        for (key, value) in details.metadata.iter().take(METADATA_MAX) {
            builder = builder.with(key, redact::words(value, UPSTREAM_CHARS_MAX));
        }
    } else {
        builder = builder.foreign(error.code(), &details);
    }
    for (field, description) in &details.violations {
        let shown = |text| redact::words(text, UPSTREAM_CHARS_MAX);
        builder = builder.field(shown(field), shown(description));
    }
    match details.retry_after {
        Some(delay) if delay <= RETRY_AFTER_MAX && reason.retry().helps_in_time() => {
            builder.retry_after(delay).into()
        }
        _ => builder.into(),
    }
}

impl StatusBuilder {
    /// Says which code became another one, and the reason that the server gave by a name.
    fn foreign(mut self, code: Code, details: &Details) -> Self {
        if code != self.reason.code() {
            self = self.with("upstream_code", code_name(code));
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let reason = details.reason.as_str();
        if !reason.is_empty() && reason.len() <= 63 && reason.chars().all(is_name) {
            self = self.with("upstream_reason", reason);
        }
        self
    }
}

pub(super) fn reason_of(code: Code) -> Reason {
    let row = CODES.iter().find(|row| row.code == code);
    row.map_or(Reason::Unknown, |row| row.reason)
}

/// An error of a server whose errors are hidden: its code, reason and `RetryInfo`. The words are
/// kept beside it for receipts and logs; see [`for_receipt`].
pub fn hidden(error: &Status) -> Status {
    let details = read(error);
    let reason = Reason::of(error).unwrap_or_else(|| reason_of(error.code()));
    let mut builder = StatusBuilder::new(reason, format!("the call failed ({})", reason.name()));
    if let Some(delay) = details.retry_after {
        builder = builder.retry_after(delay);
    }
    let mut status = builder.build();
    status.set_source(Arc::new(HiddenWords(error.message().to_owned())));
    status
}

/// The words of an error whose server's errors are hidden. They stay in the process.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct HiddenWords(String);

fn hidden_words(error: &Status) -> Option<&HiddenWords> {
    std::error::Error::source(error)?.downcast_ref()
}

/// The message of an error for receipts and logs: with the words that are hidden from callers.
pub fn for_receipt(error: &Status) -> String {
    match hidden_words(error) {
        Some(words) => format!("{}: {words}", error.message()),
        None => error.message().to_owned(),
    }
}

/// Hands the hidden words of an error on to another form of it.
pub(super) fn keep_hidden(from: &Status, mut to: Status) -> Status {
    if let Some(HiddenWords(words)) = hidden_words(from) {
        to.set_source(Arc::new(HiddenWords(words.clone())));
    }
    to
}
