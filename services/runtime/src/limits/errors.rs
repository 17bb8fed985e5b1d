//! tonic's own errors, in the terms that clients are promised.
//!
//! tonic answers a message over the size limit with OUT_OF_RANGE and a message that cannot be
//! decoded with INTERNAL, neither with details. Here they become RESOURCE_EXHAUSTED naming the
//! limit, and INVALID_ARGUMENT naming the field. tonic gives such an error no type that reaches a
//! layer, so they are recognised by code and text, in headers (an answer that is only an error) and
//! in trailers (the end of a stream). A status with details is never touched: a handler made it.
//! The tests go through a real tonic server, so a tonic release that rewords them fails there.

use http::{HeaderMap, Request, Uri};
use motet_proto::wire::REFUSED;
use tonic::{Code, Status};

use crate::layers::call::{CallHooks, CallLayer, Layered};
use crate::status::{
    Oversized, malformed_message, message_too_large, oversized, undecoded_message, unknown_method,
};

/// Gives tonic's own decoding errors the codes and details that motet promises.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorLayer;

/// A service with an [`ErrorLayer`] around it.
pub type ErrorService<S> = Layered<ErrorLayer, S>;

impl<B> CallLayer<B> for ErrorLayer {
    type Hooks = ErrorMapping;

    fn begin(&self, request: &mut Request<B>) -> Result<Option<ErrorMapping>, Status> {
        Ok(Some(ErrorMapping {
            called: Some(request.uri().clone()),
        }))
    }
}

/// Rewrites tonic's errors in one call.
pub struct ErrorMapping {
    /// The path of the call; taken by the headers, since only they can say that there is no such
    /// method.
    called: Option<Uri>,
}

impl CallHooks for ErrorMapping {
    fn headers(&mut self, headers: &mut HeaderMap) {
        let called = self.called.take();
        rewrite(headers, called.as_ref().map_or("", Uri::path));
    }
}

fn rewrite(headers: &mut HeaderMap, path: &str) {
    // The common case, success, costs one look-up and one comparison.
    match headers.get("grpc-status") {
        Some(value) if value != "0" => {}
        _ => return,
    }
    let Some(status) = crate::status::from_headers(headers) else {
        return;
    };
    if !status.details().is_empty() {
        return;
    }
    if let Some(better) = promised(&status, path) {
        // Statuses of the builders always fit headers; if one did not, tonic's would stay.
        let _ = better.add_header(headers);
    }
}

/// The status that motet promises in place of one of tonic's own; `None` for any other error.
fn promised(status: &Status, path: &str) -> Option<Status> {
    let message = status.message();
    match status.code() {
        Code::OutOfRange => {
            let Oversized { bytes, limit, .. } = oversized(status)?;
            let what = format!("the message has {bytes} bytes, the limit is {limit} bytes");
            Some(message_too_large(what, limit.to_string()).into())
        }
        Code::ResourceExhausted if message.starts_with(REFUSED) => {
            Some(undecoded_message(message).into())
        }
        Code::ResourceExhausted => {
            let rest = message.strip_prefix("Error decompressing: size limit, of ")?;
            let (limit, _) = rest.split_once(" bytes")?;
            let what = format!(
                "the message has more than {limit} bytes once decompressed, which is the limit"
            );
            Some(message_too_large(what, limit).into())
        }
        Code::Internal => {
            message.strip_prefix("failed to decode Protobuf message: ")?;
            Some(malformed_message(message).into())
        }
        Code::Unimplemented if message.is_empty() && !path.is_empty() => {
            Some(unknown_method(path).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_handlers_stay_as_they_are() {
        for status in [
            Status::internal("failed to do something"),
            Status::out_of_range("row 7 of 3"),
            Status::unimplemented("not for this model"),
            Status::resource_exhausted("queue full"),
            crate::status::internal("failed to decode Protobuf message: x").build(),
        ] {
            let mut headers = HeaderMap::new();
            status.add_header(&mut headers).expect("valid");
            let before = headers.clone();
            rewrite(&mut headers, "/a.B/C");
            assert_eq!(headers, before);
        }
    }
}
