//! Admission: how many calls may be in flight at once, over all connections.
//!
//! tonic's own concurrency limit holds per connection, which bounds nothing when there are many
//! connections. Admission also bounds the time between a call's headers and the end of its message,
//! since a call is in flight from its headers on.
//!
//! Not counted are health and reflection, which must answer under load, and the
//! requests inside a stream. A stream is one call, however many of its requests run at once; those
//! are bounded by [`STREAM_CONCURRENCY_MAX`](crate::request_stream::STREAM_CONCURRENCY_MAX).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use tonic::Status;
use tonic::body::Body;

use super::{body_timeout, is_exempt};
use crate::layers::call::{CallHooks, CallLayer, Layered};
use crate::metrics::ServerMetrics;
use crate::status::{Reason, resource_exhausted};
use crate::usage::Usage;

/// `RetryInfo` of a refusal.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The default of [`Admission::reading_within`].
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Counts calls in flight and refuses those above a limit. Clones share the count.
#[derive(Clone, Debug)]
pub struct Admission {
    in_flight: Arc<AtomicUsize>,
    max: usize,
    read_timeout: Duration,
}

impl Admission {
    /// Admits at most `max` calls at once, whose messages arrive within [`READ_TIMEOUT`].
    pub fn new(max: usize) -> Self {
        Self {
            in_flight: Arc::default(),
            max,
            read_timeout: READ_TIMEOUT,
        }
    }

    /// Sets the time from a call's headers to the end of its message. Streams have no such limit.
    #[must_use]
    pub fn reading_within(mut self, limit: Duration) -> Self {
        self.read_timeout = limit;
        self
    }

    /// The number of calls in flight, without health and reflection.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn try_admit(&self) -> Option<Permit> {
        self.in_flight
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < self.max).then_some(n + 1)
            })
            .ok()
            .map(|_| Permit(self.in_flight.clone()))
    }

    fn refusal(&self) -> Status {
        resource_exhausted(
            format!(
                "the server is at its limit of {} concurrent requests",
                self.max
            ),
            Some(RETRY_AFTER),
        )
        .reason(Reason::TooManyRequests)
        .with("max_concurrent_requests", self.max.to_string())
        .into()
    }
}

struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
}

/// A service with an [`AdmissionLayer`] around it.
pub type AdmissionService<S> = Layered<AdmissionLayer, S>;

impl CallLayer<Body> for AdmissionLayer {
    type Hooks = Admitted;

    fn begin(&self, request: &mut Request<Body>) -> Result<Option<Admitted>, Status> {
        let path = request.uri().path();
        if is_exempt(path) {
            return Ok(None);
        }
        let Some(permit) = self.admission.try_admit() else {
            self.metrics.refused("concurrency");
            return Err(self.admission.refusal());
        };
        if !body_timeout::is_stream(path) {
            let body = std::mem::replace(request.body_mut(), Body::empty());
            *request.body_mut() = body_timeout::limit(body, self.admission.read_timeout);
        }
        self.metrics.entered();
        let usage = request.extensions_mut().get_or_insert_default::<Usage>();
        Ok(Some(Admitted {
            _permit: permit,
            usage: usage.clone(),
            metrics: self.metrics.clone(),
        }))
    }
}

/// A call in flight.
pub struct Admitted {
    _permit: Permit,
    usage: Usage,
    metrics: ServerMetrics,
}

impl CallHooks for Admitted {
    fn step<T>(&mut self, step: impl FnOnce() -> T) -> Result<T, Status> {
        Ok(self.usage.step(step))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.metrics.left();
    }
}
