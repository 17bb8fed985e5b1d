//! Transport of calls to a gRPC server: the channel, the metadata of a request, the probe, and
//! failures of the way.

use std::time::Duration;

use http::uri::PathAndQuery;
use motet_runtime::config::Destination;
use motet_runtime::connect::{ChannelBuilder, WithHeaders};
use motet_runtime::deadline::Deadline;
use motet_runtime::{status, telemetry};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
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
/// When the address makes no URI.
pub(crate) fn connect(destination: &Destination) -> Result<Transport, tonic::transport::Error> {
    let channel = ChannelBuilder::new(destination, CONNECT_TIMEOUT)?
        .keep_alive(KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT)
        .lazy();
    let service = WithHeaders::new(channel, destination);
    Ok(BoxCloneSyncService::new(
        service.map_err(TransportError::new),
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

/// Path of the call that finds out whether a server is reached. Any answer proves it, also that the
/// server has no such method.
const PROBE: &str = "/grpc.health.v1.Health/Check";

/// Returns whether the server at the other end of `transport` answers within `timeout`.
pub(crate) async fn is_reached(transport: Transport, timeout: Duration) -> bool {
    let deadline = Deadline::within(timeout);
    let call = async {
        let mut client = Grpc::new(transport);
        client
            .ready()
            .await
            .map_err(|e| Status::from_error(e.into()))?;
        // The messages of the call, without their fields: `()` is the empty message.
        let codec = ProstCodec::<(), ()>::default();
        let request = outgoing((), Some(deadline));
        client
            .unary(request, PathAndQuery::from_static(PROBE), codec)
            .await
    };
    match deadline.run(call).await {
        Ok(_) => true,
        Err(error) => Failure::of(&error, deadline) == Failure::Answered,
    }
}

/// Why a call has no result, as far as the way to its server is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server answered with an error.
    Answered,
    /// There is no connection to the server, or only to a proxy in front of it.
    Unreached,
    /// The connection broke before the answer was whole.
    Lost,
    /// The answer cannot be read.
    Garbled,
    /// No answer came within the deadline.
    Silent,
    /// The request was not sent, since it is over a limit of this process.
    Unsent,
}

impl Failure {
    /// Returns the failure that tonic's client tells as `error`, of a call that had until
    /// `deadline`.
    ///
    /// An error that the server sent has no source. Where a connection breaks during a call, tonic
    /// says UNKNOWN, INTERNAL or CANCELLED; where an HTTP status takes the place of a gRPC one, the
    /// answer is a proxy's.
    pub(crate) fn of(error: &Status, deadline: Deadline) -> Self {
        if error.code() == tonic::Code::DeadlineExceeded && deadline.is_past(Instant::now()) {
            return Self::Silent;
        }
        let is_unsent = status::oversized(error).is_some_and(|found| found.is_outgoing);
        Self::of_way(error).unwrap_or(match is_unsent {
            true => Self::Unsent,
            false => Self::Answered,
        })
    }

    /// Returns the failure of the way to the server; `None` for an answer of the server.
    fn of_way(error: &Status) -> Option<Self> {
        use tonic::Code::{Cancelled, Internal, Unavailable, Unknown};
        if !error.details().is_empty() {
            return None;
        }
        let source = std::error::Error::source(error);
        match error.code() {
            Unavailable if source.is_some_and(is_connect_error) => Some(Self::Unreached),
            Unavailable if error.message().starts_with(HTTP_STATUS_WORDS) => Some(Self::Unreached),
            Unavailable | Unknown | Internal | Cancelled if source.is_some() => Some(Self::Lost),
            Internal if is_unreadable(error) => Some(Self::Garbled),
            _ => None,
        }
    }

    /// Describes what happened to the server, for messages; `None` where the error says it itself.
    const fn words(self) -> Option<&'static str> {
        match self {
            Self::Unreached => Some("cannot be reached"),
            Self::Lost => Some("broke off the connection"),
            Self::Garbled => Some("gave an answer that cannot be read"),
            Self::Answered | Self::Silent | Self::Unsent => None,
        }
    }
}

/// Describes the failure of the connection, or of reading the answer, that caused `error`; `None`
/// for an error that the server sent.
pub(crate) fn connection_failure(error: &Status) -> Option<&'static str> {
    Failure::of_way(error).and_then(Failure::words)
}

/// Start of tonic's words for an answer with an HTTP status in place of a gRPC one.
const HTTP_STATUS_WORDS: &str = "grpc-status header missing";

/// Starts of tonic's words for answers that are no gRPC messages, or that are not those of their
/// type.
const UNREADABLE_WORDS: [&str; 5] = [
    UNDECODABLE_WORDS,
    "protocol error: received message with",
    "Error decompressing:",
    "Unexpected EOF decoding stream.",
    "Missing response message.",
];
const UNDECODABLE_WORDS: &str = "failed to decode Protobuf message";

/// Returns the error of an answer whose bytes are no message of its type, as tonic tells it.
pub(crate) fn undecodable(error: &impl std::fmt::Display) -> Status {
    Status::internal(format!("{UNDECODABLE_WORDS}: {error}"))
}

/// Returns whether tonic could not read the answer. A server that says the same of a request read
/// another one than was sent.
fn is_unreadable(error: &Status) -> bool {
    let words = error.message();
    let mut starts = UNREADABLE_WORDS.iter();
    starts.any(|start| words.starts_with(start))
}

fn is_connect_error(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.any(|error| error.is::<tonic::ConnectError>())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tonic::Code;

    use super::*;

    #[test]
    fn an_answer_of_the_server_is_told_from_a_failure_of_the_way() {
        let sourced = |code, source: BoxError| {
            let mut status = Status::new(code, "transport error");
            status.set_source(Arc::from(source));
            status
        };
        let refused = || tonic::ConnectError("connection refused".into());
        let local = Status::internal;
        let later = Deadline::within(Duration::from_secs(60));
        for (error, failure) in [
            (
                sourced(Code::Unavailable, refused().into()),
                Failure::Unreached,
            ),
            (
                Status::unavailable("grpc-status header missing, mapped from HTTP status code 503"),
                Failure::Unreached,
            ),
            (
                sourced(Code::Unavailable, "keep-alive".into()),
                Failure::Lost,
            ),
            (sourced(Code::Unknown, "h2".into()), Failure::Lost),
            (sourced(Code::Cancelled, "closed".into()), Failure::Lost),
            (undecodable(&"invalid varint"), Failure::Garbled),
            (
                local("protocol error: received message with compressed-flag but"),
                Failure::Garbled,
            ),
            (local("Unexpected EOF decoding stream."), Failure::Garbled),
            (Status::unavailable("it is away"), Failure::Answered),
            (Status::unavailable(""), Failure::Answered),
            (status::unavailable("it is away").into(), Failure::Answered),
            (Status::deadline_exceeded("its own"), Failure::Answered),
            (
                Status::out_of_range(
                    "Error, encoded message length too large: found 9 bytes, the limit is: 8 bytes",
                ),
                Failure::Unsent,
            ),
        ] {
            assert_eq!(Failure::of(&error, later), failure, "{error:?}");
        }
        let now = Deadline::within(Duration::ZERO);
        assert_eq!(
            Failure::of(&Status::deadline_exceeded("late"), now),
            Failure::Silent
        );
    }
}
