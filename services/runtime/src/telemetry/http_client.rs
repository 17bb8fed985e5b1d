//! The HTTP client of OTLP over http/protobuf, and of key sets.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

use super::tls::Connector;
use crate::config::ClientTlsSpec;

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A client of a server such as a collector. Connections are kept.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
    /// The SDK exports on a thread of its own, and connections need the runtime's.
    runtime: Handle,
    timeout: Duration,
}

impl Client {
    /// A client with this limit of one request, and TLS where an address asks for it. Needs a
    /// tokio runtime.
    pub(crate) fn new(tls: Option<ClientTlsSpec>, timeout: Duration) -> Self {
        let connector = super::tls::connector(tls);
        Self {
            inner: legacy::Client::builder(TokioExecutor::new()).build(connector),
            runtime: Handle::current(),
            timeout,
        }
    }
}

#[tonic::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.inner.request(request.map(Full::new));
        let call = async move {
            let (parts, body) = answer.await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
            Ok::<_, HttpError>(Response::from_parts(parts, body.to_bytes()))
        };
        let timeout = self.timeout;
        let task = self
            .runtime
            .spawn(async move { tokio::time::timeout(timeout, call).await });
        match task.await? {
            Ok(answer) => answer,
            Err(_) => Err(format!("the server did not answer within {timeout:?}").into()),
        }
    }
}
