//! Reading errors back, and adding to an error that another server made.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::pb;

use super::upstream::keep_hidden;
use super::{
    DESCRIPTION_BYTES_MAX, DOMAIN, Reason, TYPE_BAD_REQUEST, TYPE_ERROR_INFO, TYPE_RETRY_INFO, cut,
};

/// The `google.rpc` details of a status; empty if it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// `ErrorInfo.reason`.
    pub reason: String,
    /// `ErrorInfo.domain`.
    pub domain: String,
    /// `ErrorInfo.metadata`.
    pub metadata: HashMap<String, String>,
    /// `BadRequest.field_violations` as pairs of field and description.
    pub violations: Vec<(String, String)>,
    /// `RetryInfo.retry_delay`.
    pub retry_after: Option<Duration>,
}

/// Reads the details of a status. Details that cannot be decoded count as absent: they come from
/// other servers.
pub fn read(status: &Status) -> Details {
    let mut details = Details::default();
    for any in decode(status) {
        match any.type_url.as_str() {
            TYPE_ERROR_INFO => {
                if let Ok(info) = pb::ErrorInfo::decode(any.value.as_slice()) {
                    details.reason = info.reason;
                    details.domain = info.domain;
                    details.metadata = info.metadata;
                }
            }
            TYPE_BAD_REQUEST => {
                if let Ok(bad) = pb::BadRequest::decode(any.value.as_slice()) {
                    let pairs = bad.field_violations.into_iter();
                    details.violations = pairs.map(|v| (v.field, v.description)).collect();
                }
            }
            TYPE_RETRY_INFO => {
                if let Ok(info) = pb::RetryInfo::decode(any.value.as_slice()) {
                    details.retry_after = info.retry_delay.and_then(|d| d.try_into().ok());
                }
            }
            _ => {}
        }
    }
    details
}

/// Adds metadata to the `ErrorInfo` of a status that something further down made. Its code, message
/// and other details, also those unknown here, stay as they are. A key that is there already
/// becomes a path, outermost first: node `inner` of a pipeline that is node `outer` of another is
/// `outer/inner`.
///
/// The metadata (headers) of the original status is dropped: it belongs to the other connection.
pub fn annotate<'a>(
    status: &Status,
    metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Status {
    let mut details = decode(status);
    let found = details
        .iter()
        .position(|any| any.type_url == TYPE_ERROR_INFO);
    let mut info = found
        .and_then(|at| pb::ErrorInfo::decode(details[at].value.as_slice()).ok())
        .unwrap_or_else(|| pb::ErrorInfo {
            reason: Reason::from_code(status.code()).name().to_owned(),
            domain: DOMAIN.to_owned(),
            metadata: HashMap::new(),
        });
    for (key, value) in metadata {
        let path = match info.metadata.get(key) {
            Some(inner) => format!("{value}/{inner}"),
            None => value.to_owned(),
        };
        info.metadata
            .insert(key.to_owned(), cut(path, DESCRIPTION_BYTES_MAX));
    }
    let any = super::any(TYPE_ERROR_INFO, &info);
    match found {
        Some(at) => details[at] = any,
        None => details.insert(0, any),
    }
    let annotated = super::assemble(status.code(), status.message().to_owned(), details);
    keep_hidden(status, annotated)
}

/// The status with another message and the same details.
pub fn reworded(status: &Status, message: String) -> Status {
    let message = cut(message, super::MESSAGE_BYTES_MAX);
    keep_hidden(
        status,
        super::assemble(status.code(), message, decode(status)),
    )
}

/// The status as the message that carries an error inside a stream.
pub fn to_message(status: &Status) -> pb::Status {
    pb::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: decode(status),
    }
}

/// Returns the status that a message inside a stream carries, of the encoded message.
pub fn of_message(message: &[u8]) -> Status {
    match pb::Status::decode(message) {
        Ok(decoded) => {
            let details = bytes::Bytes::copy_from_slice(message);
            Status::with_details(Code::from(decoded.code), decoded.message, details)
        }
        Err(error) => super::internal(format!("an error that cannot be read: {error}")).into(),
    }
}

fn decode(status: &Status) -> Vec<Any> {
    pb::Status::decode(status.details()).map_or_else(|_| Vec::new(), |decoded| decoded.details)
}

/// The error in these headers or trailers, if there is one.
pub(crate) fn from_headers(headers: &http::HeaderMap) -> Option<Status> {
    Status::from_header_map(headers)
        .filter(|status| status.code() != Code::Ok)
        .map(|mut status| {
            *status.metadata_mut() = MetadataMap::new();
            status
        })
}
