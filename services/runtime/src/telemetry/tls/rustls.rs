//! TLS by rustls, as to other servers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use opentelemetry_otlp::WithTonicConfig;
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tower::Service;

use crate::config::ClientTlsSpec;
use crate::telemetry::TelemetryError;
use crate::tls::ClientTls;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects with TLS where there is one and the address asks for it, in plain text else.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Connector {
    http: HttpConnector,
    tls: Option<ClientTls>,
    protocol: Protocol,
}

/// The protocol inside of TLS.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    /// gRPC, whatever the scheme of the address.
    Http2,
}

impl Connector {
    fn new(tls: Option<ClientTlsSpec>, protocol: Protocol) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        Self {
            http,
            tls: tls.map(|spec| ClientTls::new(&spec)),
            protocol,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let Self {
            mut http,
            tls,
            protocol,
        } = self.clone();
        Box::pin(async move {
            let address = match protocol {
                Protocol::Http1 => address,
                Protocol::Http2 => with_https(address)?,
            };
            let Some(tls) = tls.filter(|_| address.scheme() == Some(&Scheme::HTTPS)) else {
                return Ok(MaybeHttpsStream::Http(http.call(address).await?));
            };
            // Files are read.
            let config = tokio::task::spawn_blocking(move || match protocol {
                Protocol::Http1 => tls.plain_config().map(Into::into),
                Protocol::Http2 => tls.config(),
            });
            let mut https = HttpsConnector::from((http, config.await??));
            https.call(address).await
        })
    }
}

fn with_https(address: Uri) -> Result<Uri, BoxError> {
    let mut parts = address.into_parts();
    parts.scheme = Some(Scheme::HTTPS);
    Ok(Uri::from_parts(parts)?)
}

/// Returns what connects to HTTP servers.
pub(in crate::telemetry) fn connector(tls: Option<ClientTlsSpec>) -> Connector {
    Connector::new(tls, Protocol::Http1)
}

/// Returns the exporter over gRPC, with TLS to an endpoint where there is one. Needs a tokio
/// runtime.
///
/// # Errors
/// An endpoint that is no address.
pub(in crate::telemetry) fn of_grpc<B: WithTonicConfig>(
    builder: B,
    tls: Option<(String, ClientTlsSpec)>,
) -> Result<B, TelemetryError> {
    let Some((endpoint, spec)) = tls else {
        return Ok(builder);
    };
    let invalid = |reason: &dyn std::fmt::Display| {
        TelemetryError::Tls(format!("`{endpoint}` is no address: {reason}"))
    };
    let origin: Uri = endpoint.trim().parse().map_err(|error| invalid(&error))?;
    let mut plain = origin.clone().into_parts();
    // tonic would make TLS by itself of an address that says so. What requests name is the origin.
    plain.scheme = Some(Scheme::HTTP);
    if let (Some(authority), None) = (&plain.authority, origin.port()) {
        let with_port = format!("{}:{HTTPS_PORT}", authority.host());
        plain.authority = with_port.parse().ok();
    }
    let plain = Uri::from_parts(plain).map_err(|error| invalid(&error))?;
    let channel = Endpoint::from(plain).origin(origin);
    let connector = Connector::new(Some(spec), Protocol::Http2);
    Ok(builder.with_channel(channel.connect_with_connector_lazy(connector)))
}

/// Port of an address of `https` without one.
const HTTPS_PORT: u16 = 443;
