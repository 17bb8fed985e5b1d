//! tonic's own errors, in the terms that clients are promised.
//!
//! tonic answers a message over the size limit with OUT_OF_RANGE and a message that cannot be decoded with INTERNAL,
//! neither with details. Here they become RESOURCE_EXHAUSTED naming the limit, and INVALID_ARGUMENT naming the field.
//! tonic gives such an error no type that reaches a layer, so they are recognised by code and text, in headers (an
//! answer that is only an error) and in trailers (the end of a stream). A status with details is never touched: it was
//! made by a handler. The tests go through a real tonic server, so a tonic release that words them anew fails there.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::status::{malformed_message, message_too_large, unknown_method};

/// Gives tonic's own decoding errors the codes and details that motet promises.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorLayer;

impl<S> Layer<S> for ErrorLayer {
    type Service = ErrorService<S>;

    fn layer(&self, inner: S) -> ErrorService<S> {
        ErrorService { inner }
    }
}

/// See [`ErrorLayer`].
#[derive(Clone, Debug)]
pub struct ErrorService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for ErrorService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ErrorFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ErrorFuture {
            path: request.uri().clone(),
            inner: self.inner.call(request),
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`ErrorService`].
    pub struct ErrorFuture<F> {
        #[pin]
        inner: F,
        path: http::Uri,
    }
}

impl<F, E> Future for ErrorFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.inner.poll(cx).map_ok(|mut response| {
            rewrite(response.headers_mut(), this.path.path());
            if response.body().is_end_stream() {
                return response;
            }
            response.map(|inner| Body::new(ErrorBody { inner }))
        })
    }
}

struct ErrorBody {
    inner: Body,
}

impl HttpBody for ErrorBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner)
            .poll_frame(cx)
            .map_ok(|mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    rewrite(trailers, "");
                }
                frame
            })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
        // A status that does not fit headers cannot come from the builders; if it did, tonic's stays.
        let _ = better.add_header(headers);
    }
}

/// What motet promises in place of one of tonic's own errors; nothing for any other error.
fn promised(status: &Status, path: &str) -> Option<Status> {
    let message = status.message();
    match status.code() {
        Code::OutOfRange => {
            let sizes = message
                .strip_prefix("Error, decoded message length too large: found ")
                .or_else(|| {
                    message.strip_prefix("Error, encoded message length too large: found ")
                })?;
            let (found, rest) = sizes.split_once(" bytes, the limit is: ")?;
            let limit = rest.strip_suffix(" bytes")?;
            let what = format!("the message has {found} bytes, the limit is {limit} bytes");
            Some(message_too_large(what, limit).into())
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
