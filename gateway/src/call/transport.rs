//! The way to a gRPC server: what carries a call, what goes along with it, and what became of the
//! connection.

use std::time::Duration;

use motet_runtime::deadline::Deadline;
use motet_runtime::{config, telemetry};
use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What carries a call: anything that answers HTTP requests with gRPC in them.
pub(crate) type Transport =
    BoxCloneSyncService<http::Request<Body>, http::Response<Body>, TransportError>;

/// A transport that gave no answer.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct TransportError(BoxError);

impl TransportError {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

/// How long the connection to another process may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection without answers to pings for so long is given up.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle connection is pinged.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// A channel to another process. The connection is made at the first call, and again whenever it
/// is lost. Needs a tokio runtime.
///
/// # Errors
/// When the endpoint makes no URI.
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

/// A request with what is left until `deadline`, and the current trace.
pub(crate) fn outgoing<T>(message: T, deadline: Option<Deadline>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        deadline.write(request.metadata_mut());
    }
    telemetry::propagate::inject(request.metadata_mut());
    request
}

/// What became of the connection, when that is why there is no answer. An error that arrived over
/// it has details or no source; where a connection breaks in the middle of a call, tonic says
/// UNKNOWN or INTERNAL.
pub(crate) fn connection_failure(error: &Status) -> Option<&'static str> {
    use tonic::Code::{Internal, Unavailable, Unknown};
    if !error.details().is_empty() {
        return None;
    }
    let is_local = std::error::Error::source(error).is_some();
    match error.code() {
        Unavailable => Some("cannot be reached"),
        Unknown | Internal if is_local => Some("broke off the connection"),
        _ => None,
    }
}
