//! Admission: how many calls may be in flight at once, over all connections and of each.
//!
//! tonic's own concurrency limit holds per connection, which bounds nothing when there are many
//! connections. Admission also bounds the time between a call's headers and the end of its message,
//! since a call is in flight from its headers on.
//!
//! Three things are limited, each in all and for a connection:
//!
//! * requests: unary calls, and each request inside a stream while it runs;
//! * streams of requests, which are open as long as their client likes;
//! * watches: health watches and reflection streams.
//!
//! Unary calls of health are not counted: they must answer under load.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::places::{Full, Idle, Own, Place, Places};
use super::{body_timeout, is_exempt};
use crate::auth::{Exceeded, Principal};
use crate::layers::call::{CallHooks, CallLayer, Layered};
use crate::metrics::ServerMetrics;
use crate::serve::ConnectionInfo;
use crate::status::{Reason, StatusBuilder};
use crate::usage::Usage;

/// The default of [`Admission::reading_within`].
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Streams of requests at once, by default.
pub const MAX_REQUEST_STREAMS: usize = 8192;
/// Streams of requests at once of a connection, by default.
pub const MAX_REQUEST_STREAMS_PER_CONNECTION: usize = 512;
/// Watches at once, by default.
pub const MAX_WATCHES: usize = 1024;
/// Watches at once of a connection, by default.
pub const MAX_WATCHES_PER_CONNECTION: usize = 64;

/// The limits of a server, and what is in flight. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Limits>);

#[derive(Clone, Debug)]
struct Limits {
    requests: Places,
    streams: Places,
    watches: Places,
    read_timeout: Duration,
}

/// The places that one connection has taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionPlaces {
    requests: Own,
    streams: Own,
    watches: Own,
}

/// Kind of thing that a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Stream,
    Watch,
}

impl Kind {
    /// Returns the kind of a call; `None` if it is not counted.
    fn of(path: &str) -> Option<Self> {
        if is_watch(path) {
            return Some(Self::Watch);
        }
        if is_exempt(path) {
            return None;
        }
        Some(match body_timeout::is_stream(path) {
            true => Self::Stream,
            false => Self::Request,
        })
    }

    /// The plural, for messages.
    const fn name(self) -> &'static str {
        match self {
            Self::Request => "concurrent requests",
            Self::Stream => "streams of requests",
            Self::Watch => "health watches and reflection streams",
        }
    }

    /// The keys of the limits in all and of a connection.
    const fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Request => [
                "max_concurrent_requests",
                "max_concurrent_requests_per_connection",
            ],
            Self::Stream => ["max_request_streams", "max_request_streams_per_connection"],
            Self::Watch => ["max_watches", "max_watches_per_connection"],
        }
    }

    const fn reason(self) -> Reason {
        match self {
            Self::Request => Reason::TooManyRequests,
            Self::Stream => Reason::TooManyStreams,
            Self::Watch => Reason::TooManyWatches,
        }
    }

    /// The label of a refusal in metrics.
    const fn label(self, full: Full) -> &'static str {
        match (self, full) {
            (Self::Request, Full::All) => "concurrency",
            (Self::Request, _) => "connection_concurrency",
            (Self::Stream, Full::All) => "streams",
            (Self::Stream, _) => "connection_streams",
            (Self::Watch, Full::All) => "watches",
            (Self::Watch, _) => "connection_watches",
        }
    }
}

/// `true` if the path is that of a health watch or a reflection stream, which last as long as their
/// client likes.
fn is_watch(path: &str) -> bool {
    path.starts_with("/grpc.reflection.")
        || (path.starts_with("/grpc.health.") && path.ends_with("/Watch"))
}

impl Admission {
    /// Admits at most `max` requests at once, whose messages arrive within [`READ_TIMEOUT`]. Other
    /// limits have their defaults.
    pub fn new(max: usize) -> Self {
        let places = |max, connection_max| Places::new(max).per_connection(connection_max);
        Self(Arc::new(Limits {
            requests: Places::new(max),
            streams: places(MAX_REQUEST_STREAMS, MAX_REQUEST_STREAMS_PER_CONNECTION),
            watches: places(MAX_WATCHES, MAX_WATCHES_PER_CONNECTION),
            read_timeout: READ_TIMEOUT,
        }))
    }

    fn with(self, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::clone(&self.0);
        change(&mut limits);
        Self(Arc::new(limits))
    }

    /// Sets the time from a call's headers to the end of its message, and of a stream from the
    /// first byte of each message to its end.
    #[must_use]
    pub fn reading_within(self, limit: Duration) -> Self {
        self.with(|limits| limits.read_timeout = limit)
    }

    /// Admits at most `max` requests of one connection at once; at most its share in any case.
    #[must_use]
    pub fn per_connection(self, max: usize) -> Self {
        self.with(|limits| limits.requests = limits.requests.clone().per_connection(max))
    }

    /// Admits at most so many streams of requests at once, in all and of a connection.
    #[must_use]
    pub fn streams(self, max: usize, connection_max: usize) -> Self {
        self.with(|limits| limits.streams = Places::new(max).per_connection(connection_max))
    }

    /// Admits at most so many watches at once, in all and of a connection.
    #[must_use]
    pub fn watches(self, max: usize, connection_max: usize) -> Self {
        self.with(|limits| limits.watches = Places::new(max).per_connection(connection_max))
    }

    /// The number of requests in flight, those inside streams among them.
    pub fn in_flight(&self) -> usize {
        self.0.requests.taken()
    }

    /// The number of open streams of requests.
    pub fn open_streams(&self) -> usize {
        self.0.streams.taken()
    }

    /// The number of open health watches and reflection streams.
    pub fn open_watches(&self) -> usize {
        self.0.watches.taken()
    }

    fn places(&self, kind: Kind) -> &Places {
        match kind {
            Kind::Request => &self.0.requests,
            Kind::Stream => &self.0.streams,
            Kind::Watch => &self.0.watches,
        }
    }

    fn refusal(&self, kind: Kind, full: Full) -> Status {
        let places = self.places(kind);
        let (name, [key, connection_key]) = (kind.name(), kind.keys());
        let (max, connection_max) = (places.max(), places.connection_max());
        let (text, key, limit) = match full {
            Full::All => (
                format!("the server is at its limit of {max} {name} (`{key}`)"),
                key,
                max,
            ),
            Full::Share => (
                format!(
                    "this connection has its share of the {max} {name} (`{key}`): twice as many \
                     as are free"
                ),
                key,
                max,
            ),
            Full::Connection => (
                format!(
                    "this connection is at its limit of {connection_max} {name} \
                     (`{connection_key}`)"
                ),
                connection_key,
                connection_max,
            ),
        };
        StatusBuilder::new(kind.reason(), text)
            .retry_after(places.retry_after(full))
            .with(key, limit.to_string())
            .into()
    }
}

impl ConnectionPlaces {
    /// Returns for how long no request of the connection has run; `None` while one does. Open
    /// streams do not count.
    pub(crate) fn idle(&self) -> Option<Idle> {
        self.requests.idle()
    }

    fn own(&self, kind: Kind) -> &Own {
        match kind {
            Kind::Request => &self.requests,
            Kind::Stream => &self.streams,
            Kind::Watch => &self.watches,
        }
    }
}

/// Lets calls pass as [`Admission`] allows; others get RESOURCE_EXHAUSTED with `RetryInfo`. A call
/// counts until its answer has been sent completely, or was dropped.
#[derive(Clone, Debug)]
pub struct AdmissionLayer {
    admission: Admission,
    metrics: ServerMetrics,
}

impl AdmissionLayer {
    /// Calls in flight and refusals are counted in `metrics`.
    pub fn new(admission: Admission, metrics: ServerMetrics) -> Self {
        Self { admission, metrics }
    }

    fn admit(
        &self,
        kind: Kind,
        connection: &ConnectionPlaces,
        principal: Option<&Principal>,
        usage: &Usage,
    ) -> Result<Admitted, Status> {
        match self.admission.places(kind).take(connection.own(kind)) {
            Ok(place) => {
                let principal = principal.filter(|_| kind == Kind::Request);
                let charged = principal
                    .map(|principal| self.charge(principal, usage))
                    .transpose()?;
                self.count(kind, 1);
                Ok(Admitted {
                    _place: place,
                    _charged: charged,
                    kind,
                    layer: self.clone(),
                })
            }
            Err(full) => {
                self.metrics.refused(kind.label(full));
                Err(self.admission.refusal(kind, full))
            }
        }
    }

    /// Counts a request against the limits of its principal.
    fn charge(&self, principal: &Principal, usage: &Usage) -> Result<Charged, Status> {
        match principal.quota().begin(Instant::now()) {
            Ok(()) => Ok(Charged {
                principal: principal.clone(),
                usage: usage.clone(),
            }),
            Err(exceeded) => {
                self.metrics.refused(exceeded.label());
                Err(over_quota(exceeded))
            }
        }
    }

    fn count(&self, kind: Kind, change: i64) {
        match kind {
            Kind::Request => self.metrics.in_flight(change),
            Kind::Stream => self.metrics.streams("requests", change),
            Kind::Watch => self.metrics.streams("watches", change),
        }
    }
}

/// A service with an [`AdmissionLayer`] around it.
pub type AdmissionService<S> = Layered<AdmissionLayer, S>;

impl CallLayer<Body> for AdmissionLayer {
    type Hooks = AdmittedCall;

    fn begin(&self, request: &mut Request<Body>) -> Result<Option<AdmittedCall>, Status> {
        let Some(kind) = Kind::of(request.uri().path()) else {
            return Ok(None);
        };
        let connection = ConnectionInfo::of(request.extensions());
        let places = connection.map_or_else(ConnectionPlaces::default, |c| c.places().clone());
        let usage = request
            .extensions_mut()
            .get_or_insert_default::<Usage>()
            .clone();
        let principal = request.extensions().get::<Principal>().cloned();
        let admitted = self.admit(kind, &places, principal.as_ref(), &usage)?;
        if kind != Kind::Watch {
            let body = std::mem::replace(request.body_mut(), Body::empty());
            let messages = request.extensions().get().cloned();
            let limit = self.admission.0.read_timeout;
            *request.body_mut() = body_timeout::limit(body, limit, messages);
        }
        if kind == Kind::Stream {
            let layer = self.clone();
            let requests = StreamAdmission {
                layer,
                places,
                principal,
            };
            request.extensions_mut().insert(requests);
        }
        Ok(Some(AdmittedCall {
            _admitted: admitted,
            usage,
        }))
    }
}

/// Admission of the requests of one stream. Those of streams have it in their extensions.
#[derive(Clone, Debug)]
pub(crate) struct StreamAdmission {
    layer: AdmissionLayer,
    places: ConnectionPlaces,
    principal: Option<Principal>,
}

impl StreamAdmission {
    /// Admits a request, whose usage this will be.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED, for the caller.
    pub(crate) fn admit(&self, usage: &Usage) -> Result<Admitted, Status> {
        let principal = self.principal.as_ref();
        self.layer
            .admit(Kind::Request, &self.places, principal, usage)
    }
}

/// A place that is taken, and counted.
#[derive(Debug)]
pub(crate) struct Admitted {
    _place: Place,
    _charged: Option<Charged>,
    kind: Kind,
    layer: AdmissionLayer,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.layer.count(self.kind, -1);
    }
}

/// A request that counts against the limits of its principal. Its tokens are charged at its end.
#[derive(Debug)]
struct Charged {
    principal: Principal,
    usage: Usage,
}

impl Drop for Charged {
    fn drop(&mut self) {
        let tokens = self.usage.total().tokens;
        self.principal.quota().end(tokens, Instant::now());
    }
}

/// Returns the status of a request over a limit of its principal.
fn over_quota(exceeded: Exceeded) -> Status {
    let Exceeded { key, limit, .. } = exceeded;
    let text = format!("the holder of these credentials is at its limit of {limit} (`{key}`)");
    StatusBuilder::new(Reason::QuotaExceeded, text)
        .retry_after(exceeded.retry_after)
        .with(key, limit.to_string())
        .into()
}

/// A call in flight.
pub struct AdmittedCall {
    _admitted: Admitted,
    usage: Usage,
}

impl CallHooks for AdmittedCall {
    fn step<T>(&mut self, step: impl FnOnce() -> T) -> Result<T, Status> {
        Ok(self.usage.step(step))
    }
}
