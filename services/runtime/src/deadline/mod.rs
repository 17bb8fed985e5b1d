//! Deadlines: read from `grpc-timeout`, enforced on the server, passed on with what is left.
//!
//! tonic enforces `grpc-timeout` only inside its own transport, and answers CANCELLED. gRPC says
//! DEADLINE_EXCEEDED, and handlers need to know how much time there is: hence [`DeadlineLayer`] on
//! the server side, which puts a [`Deadline`] into the request's extensions, and [`Deadline::run`]
//! on the client side.
//!
//! * `header`: the `grpc-timeout` header.
//! * `layer`: the server's layer.

mod header;
mod layer;

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

pub use header::{GRPC_TIMEOUT, TimeoutError, format_timeout, parse_timeout};
pub use layer::{DeadlineLayer, DeadlineService};

/// The timeout in place of one that overflows the clock.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The moment by which a call must be answered. Deadlines are ordered: `a.min(b)` is the stricter.
///
/// ```
/// use std::time::Duration;
/// use motet_runtime::deadline::Deadline;
/// use tokio::time::Instant;
///
/// let now = Instant::now();
/// let caller = Deadline::after(now, Duration::from_secs(2));
/// let own = Deadline::after(now, Duration::from_secs(1));
/// assert_eq!(caller.capped(Some(own)).remaining(now), Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline at this moment.
    pub fn at(moment: Instant) -> Self {
        Self(moment)
    }

    /// A deadline `timeout` after `now`. A timeout beyond the clock's range counts as one year.
    pub fn after(now: Instant, timeout: Duration) -> Self {
        Self(now.checked_add(timeout).unwrap_or_else(|| now + FAR))
    }

    /// A deadline `timeout` from now.
    pub fn within(timeout: Duration) -> Self {
        Self::after(Instant::now(), timeout)
    }

    /// The deadline that the server's layer found in this request, if the caller set one.
    pub fn of(extensions: &http::Extensions) -> Option<Self> {
        extensions.get::<Self>().copied()
    }

    /// The stricter of an optional deadline and this one.
    pub fn capped(self, other: Option<Self>) -> Self {
        other.map_or(self, |other| self.min(other))
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Time left at `now`; zero once it has passed.
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// `true` if it has passed at `now`.
    pub fn is_past(self, now: Instant) -> bool {
        self.0 <= now
    }

    /// Writes the time left into the metadata of an outgoing request, in place of any
    /// `grpc-timeout`.
    pub fn write(self, metadata: &mut MetadataMap) {
        let left = format_timeout(self.remaining(Instant::now()));
        if let Ok(value) = MetadataValue::try_from(left) {
            metadata.insert(GRPC_TIMEOUT, value);
        }
    }

    /// Runs a call until it answers or the deadline passes; then the call is dropped.
    ///
    /// # Errors
    /// The call's own status, or DEADLINE_EXCEEDED; also if tonic's client transport noticed first,
    /// which calls it CANCELLED.
    pub async fn run<T>(self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        match tokio::time::timeout_at(self.0, call).await {
            Ok(Err(status)) if is_transport_timeout(&status) => Err(exceeded(None)),
            Ok(answer) => answer,
            Err(_) => Err(exceeded(None)),
        }
    }
}

/// `true` if tonic's client transport reports with this status that `grpc-timeout` ran out.
pub fn is_transport_timeout(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message() == tonic::TimeoutExpired(()).to_string()
}

/// The status of a call that reached its deadline; `timeout` is the time it was given, if known.
pub(crate) fn exceeded(timeout: Option<Duration>) -> Status {
    match timeout {
        Some(timeout) => crate::status::deadline_exceeded(format!(
            "no answer within the caller's deadline of {timeout:?}"
        )),
        None => crate::status::deadline_exceeded("no answer within the deadline"),
    }
    .into()
}

#[cfg(test)]
mod tests;
