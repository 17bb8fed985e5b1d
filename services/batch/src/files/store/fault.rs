//! Errors of stores, by what they ask for.

use http::StatusCode;
use object_store::client::HttpError;

use super::http::{Refusal, Unanswered};
use crate::error::find;
use crate::waiting::is_nameless;

/// Meaning of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such object.
    Absent,
    /// There is such an object already, or somebody is making it just now.
    There,
    /// The object is of another version than the one asked for.
    Changed,
    /// The same request would be refused again.
    Refused(String),
    /// The store is away or busy, or a connection broke.
    Away(String),
    /// No machine has the name of the store.
    Nameless(String),
}

/// Returns what an error means.
pub(super) fn fault(error: &object_store::Error) -> Fault {
    match error {
        object_store::Error::NotFound { .. } => return Fault::Absent,
        object_store::Error::AlreadyExists { .. } => return Fault::There,
        object_store::Error::Precondition { .. } | object_store::Error::NotModified { .. } => {
            return Fault::Changed;
        }
        _ => {}
    }
    let message = told(error);
    if let Some(refusal) = find::<Refusal>(error) {
        let status = refusal.status;
        let is_busy = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        return match is_busy {
            true => Fault::Away(message),
            false => Fault::Refused(message),
        };
    }
    if let Some(unanswered) = find::<Unanswered>(error) {
        let is_untrusted = find::<rustls::Error>(error)
            .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
        return match is_untrusted || unanswered.is_metadata {
            true => Fault::Refused(message),
            false if is_nameless(error) => Fault::Nameless(message),
            false => Fault::Away(message),
        };
    }
    match find::<HttpError>(error).is_some() {
        true => Fault::Away(message),
        false => Fault::Refused(message),
    }
}

/// Returns the reason of an error in words.
pub(super) fn told(error: &object_store::Error) -> String {
    if let Some(unanswered) = find::<Unanswered>(error) {
        return match unanswered.is_metadata {
            true => format!(
                "there are no credentials: no variable of the environment names any, and this is \
                 no machine of a cloud that has some ({} does not answer)",
                unanswered.host
            ),
            false => unanswered.to_string(),
        };
    }
    if let Some(refusal) = find::<Refusal>(error) {
        return refusal.to_string();
    }
    match error {
        object_store::Error::Generic { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}
