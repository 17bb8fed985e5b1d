//! Transport of calls to a gRPC server: the channel, the metadata of a request, and failures of the
//! connection.

use std::time::Duration;

use motet_runtime::deadline::Deadline;
use motet_runtime::{config, telemetry};
use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// Any error of a transport.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A service that answers gRPC requests over HTTP/2, in this process or in another.
pub(crate) type Transport =
    BoxCloneSyncService<http::Request<Body>, http::Response<Body>, TransportError>;

/// Failure of a transport to deliver an answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct TransportError(BoxError);

impl TransportError {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

/// Time limit for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time without an answer to a ping after which a connection is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between pings of a connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Returns a channel to another process. It connects at the first call, and again whenever the
/// connection is lost. Needs a tokio runtime.
///
/// # Errors
/// When the endpoint is not a URI.
pub(crate) fn connect(endpoint: &config::Endpoint) -> Result<Transport, tonic::transport::Error> {
    let channel = Endpoint::from_shared(endpoint.uri())?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .connect_lazy();
    Ok(BoxCloneSyncService::new(
        channel.map_err(TransportError::new),
    ))
}

/// Returns a request whose metadata has the time left until `deadline` and the current trace
/// context.
pub(crate) fn outgoing<T>(message: T, deadline: Option<Deadline>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        deadline.write(request.metadata_mut());
    }
    telemetry::propagate::inject(request.metadata_mut());
    request
}

/// Describes the failure of the connection that caused `error`; `None` for an error that the server
/// sent. Such an error has no source; where a connection breaks during a call, tonic says UNKNOWN,
/// INTERNAL or CANCELLED. UNAVAILABLE without words of a server is a proxy's.
pub(crate) fn connection_failure(error: &Status) -> Option<&'static str> {
    use tonic::Code::{Cancelled, Internal, Unavailable, Unknown};
    if !error.details().is_empty() {
        return None;
    }
    let is_local = std::error::Error::source(error).is_some();
    match error.code() {
        Unavailable if is_local || is_of_proxy(error.message()) => Some("cannot be reached"),
        Unknown | Internal | Cancelled if is_local => Some("broke off the connection"),
        _ => None,
    }
}

/// Returns whether UNAVAILABLE with these words comes from an HTTP status instead of a gRPC server.
fn is_of_proxy(words: &str) -> bool {
    words.is_empty() || words.starts_with("grpc-status header missing")
}
