//! Connections to other servers: in plain text or TLS, as a [`Destination`] says.
//!
//! TLS to a server without it, or plain text to one with it, is an error that says so ([`words`]),
//! in place of bytes that make no frame.
//!
//! * `explained`: [`Explained`], errors of calls that say why there is no connection.
//! * `handshake`: TLS handshakes.
//! * `headers`: [`WithHeaders`], headers of calls.
//! * `problem`: [`ConnectProblem`], why there is no connection.
//! * `stream`: a connection, whose first bytes are looked at.

mod explained;
#[cfg(feature = "tls")]
mod handshake;
mod headers;
mod problem;
mod stream;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Error};
use tower::Service;

use explained::Latest;

pub use explained::Explained;
pub use headers::WithHeaders;
pub use problem::{ConnectProblem, words};
pub use stream::Stream;

use crate::config::{ClientTlsSpec, Destination};
use crate::tls::ClientTls;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections to one server.
#[derive(Clone, Debug)]
pub struct Connector {
    http: HttpConnector,
    destination: Destination,
    tls: Option<ClientTls>,
    latest: Latest,
}

impl Connector {
    /// Connects to `destination`, whatever URI is asked for.
    pub fn new(destination: &Destination) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        Self {
            http,
            tls: destination.tls.as_ref().and_then(client_tls),
            destination: destination.clone(),
            latest: Latest::default(),
        }
    }
}

#[cfg(feature = "tls")]
fn client_tls(spec: &ClientTlsSpec) -> Option<ClientTls> {
    Some(ClientTls::new(spec))
}

/// A build without TLS refuses such destinations where they are read.
#[cfg(not(feature = "tls"))]
fn client_tls(_: &ClientTlsSpec) -> Option<ClientTls> {
    None
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.http.call(uri);
        let (tls, server) = (self.tls.clone(), self.destination.endpoint.clone());
        let latest = self.latest.clone();
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            latest.set(None);
            let stream = match tls {
                None => Stream::plain(stream, server, latest),
                Some(tls) => Stream::tls(stream, &tls, server, latest).await?,
            };
            Ok(TokioIo::new(stream))
        })
    }
}

/// A channel that is being set up.
#[derive(Clone, Debug)]
pub struct ChannelBuilder {
    endpoint: Endpoint,
    connector: Connector,
}

impl ChannelBuilder {
    /// A channel to `destination`. A connection has `timeout` to be made.
    ///
    /// # Errors
    /// When the address makes no URI.
    pub fn new(destination: &Destination, timeout: Duration) -> Result<Self, Error> {
        let at = &destination.endpoint;
        // tonic would make TLS by itself of a URI that says so. What requests name is the origin.
        let plain = format!("http://{}:{}", at.host(), at.port());
        let mut endpoint = Endpoint::from_shared(plain)?.connect_timeout(timeout);
        if let Ok(origin) = at.uri().parse() {
            endpoint = endpoint.origin(origin);
        }
        Ok(Self {
            endpoint,
            connector: Connector::new(destination),
        })
    }

    /// Closes a connection that does not answer a ping within `timeout`; it is pinged when nothing
    /// came for `interval`.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.endpoint = self
            .endpoint
            .http2_keep_alive_interval(interval)
            .keep_alive_timeout(timeout);
        self
    }

    /// Returns the channel, which connects at the first call, and again whenever the connection is
    /// lost. Needs a tokio runtime.
    pub fn lazy(self) -> Explained<Channel> {
        let connector = self.connector.clone();
        let channel = self.endpoint.connect_with_connector_lazy(self.connector);
        Explained::new(channel, &connector)
    }

    /// Connects.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn connect(self) -> Result<Explained<Channel>, Error> {
        let connector = self.connector.clone();
        let channel = self.endpoint.connect_with_connector(self.connector).await?;
        Ok(Explained::new(channel, &connector))
    }
}
