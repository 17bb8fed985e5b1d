//! gzip and zstd of gRPC messages, for every service behind a port.
//!
//! tonic has both, for each service by itself and with zstd in C. It compresses every answer whose
//! caller accepts it, which most clients do by default, and does so on the async runtime. Here one
//! layer serves all services. A request's messages are expanded before a service sees
//! them, at most to the limit of a message; the answer is compressed only where the request was.
//! Calls without compression pass by.
//!
//! * `codec`: one message's bytes.
//! * `body`: the messages of a body, expanded or compressed.

mod body;
mod codec;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use body::{Expanded, Recoded, Recoding};
use codec::Encoding;

use crate::status::{Reason, StatusBuilder};

const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// Encodings that this server accepts.
const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip,zstd,identity");

/// A service whose messages may be compressed.
#[derive(Clone, Debug)]
pub struct CompressionService<S> {
    inner: S,
    message_bytes_max: usize,
}

impl<S> CompressionService<S> {
    /// Puts compression around `service`. A message has at most `message_bytes_max` bytes once it
    /// is expanded.
    pub fn new(service: S, message_bytes_max: usize) -> Self {
        Self {
            inner: service,
            message_bytes_max,
        }
    }
}

impl<S> Service<Request<Body>> for CompressionService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = CompressionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let offered = request.headers().contains_key(ACCEPT_ENCODING);
        let encoding = match Encoding::of_request(request.headers()) {
            Ok(encoding) => encoding,
            Err(status) => return CompressionFuture::refused(status),
        };
        let answer = encoding.and_then(|encoding| encoding.of_answer(request.headers()));
        if let Some(encoding) = encoding {
            request.headers_mut().remove(ENCODING);
            let recoding = Recoding::Expand(encoding, self.message_bytes_max);
            let expanded = Expanded::of(request.extensions());
            request = request.map(|body| Body::new(Recoded::new(body, recoding, expanded)));
        }
        CompressionFuture {
            inner: Some(self.inner.call(request)),
            advertises: offered || encoding.is_some(),
            answer,
            refusal: None,
        }
    }
}

impl Encoding {
    /// Returns the encoding of a request's messages; `None` for none.
    ///
    /// # Errors
    /// UNIMPLEMENTED, naming the encodings there are, for another one.
    fn of_request(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let Some(value) = headers.get(ENCODING) else {
            return Ok(None);
        };
        let name = String::from_utf8_lossy(value.as_bytes());
        if name == "identity" {
            return Ok(None);
        }
        Self::from_name(&name).map(Some).ok_or_else(|| {
            let what =
                format!("the encoding {name:?} is not known here: gzip, zstd or identity is");
            let error = StatusBuilder::new(Reason::EncodingNotSupported, what);
            let mut status = error.with("encoding", name).build();
            let accepted = tonic::metadata::MetadataValue::from_static("gzip,zstd,identity");
            status.metadata_mut().insert(ACCEPT_ENCODING, accepted);
            status
        })
    }

    /// Returns the encoding of the answer to a request in this one: the same, unless the caller
    /// reads only others.
    fn of_answer(self, headers: &HeaderMap) -> Option<Self> {
        let Some(accepted) = headers.get(ACCEPT_ENCODING) else {
            return Some(self);
        };
        let accepted = accepted.to_str().unwrap_or_default();
        let mut names = accepted.split(',').map(str::trim);
        if names.clone().any(|name| name == self.name()) {
            return Some(self);
        }
        names.find_map(Self::from_name)
    }
}

pin_project_lite::pin_project! {
    /// The future of [`CompressionService`].
    pub struct CompressionFuture<F> {
        #[pin]
        inner: Option<F>,
        // The response names the encodings that are accepted.
        advertises: bool,
        answer: Option<Encoding>,
        refusal: Option<Status>,
    }
}

impl<F> CompressionFuture<F> {
    fn refused(status: Status) -> Self {
        Self {
            inner: None,
            advertises: false,
            answer: None,
            refusal: Some(status),
        }
    }
}

impl<F, E> Future for CompressionFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return match this.refusal.take() {
                Some(status) => Poll::Ready(Ok(status.into_http())),
                None => Poll::Pending, // polled after the answer
            };
        };
        let (advertises, encoding) = (*this.advertises, *this.answer);
        inner.poll(cx).map_ok(|mut response| {
            if advertises {
                response.headers_mut().insert(ACCEPT_ENCODING, ACCEPTED);
            }
            match encoding.filter(|_| !response.headers().contains_key("grpc-status")) {
                Some(encoding) => compressed(response, encoding),
                None => response,
            }
        })
    }
}

fn compressed(mut response: Response<Body>, encoding: Encoding) -> Response<Body> {
    let value = HeaderValue::from_static(encoding.name());
    response.headers_mut().insert(ENCODING, value);
    response.map(|body| Body::new(Recoded::new(body, Recoding::Compress(encoding), None)))
}
