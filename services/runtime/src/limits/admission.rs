//! How many calls may be in flight at once, over all connections.
//!
//! tonic's own concurrency limit holds for one connection, which bounds nothing when connections are many. And for how long a call may be
//! in flight before its message has come, since nothing else bounds that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Span;

use super::{arrival, is_exempt};
use crate::body::{OnEnd, watch};
use crate::metrics::ServerMetrics;
use crate::status::{Reason, resource_exhausted};

/// When a refused caller is told to come back.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How long the message of a call may take to come, where nobody says.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Counts calls in flight and refuses those above a limit. Clones share the count.
#[derive(Clone, Debug)]
pub struct Admission {
    in_flight: Arc<AtomicUsize>,
    max: usize,
    read_timeout: Duration,
}

impl Admission {
    /// At most `max` calls at once, whose messages come within [`READ_TIMEOUT`].
    pub fn new(max: usize) -> Self {
        Self {
            in_flight: Arc::default(),
            max,
            read_timeout: READ_TIMEOUT,
        }
    }

    /// A call's message must come within this; the messages of streams may take as long as they like.
    #[must_use]
    pub fn reading_within(mut self, limit: Duration) -> Self {
        self.read_timeout = limit;
        self
    }

    /// Calls in flight now (health and reflection do not count).
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Option<Permit> {
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

/// Lets in what [`Admission`] allows; the rest gets RESOURCE_EXHAUSTED with `RetryInfo`. A call counts until its answer
/// has been sent to the end, or dropped.
#[derive(Clone, Debug)]
pub struct AdmissionLayer {
    admission: Admission,
    metrics: ServerMetrics,
}

impl AdmissionLayer {
    /// Refusals are counted in `metrics`, and so are the calls in flight.
    pub fn new(admission: Admission, metrics: ServerMetrics) -> Self {
        Self { admission, metrics }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = AdmissionService<S>;

    fn layer(&self, inner: S) -> AdmissionService<S> {
        AdmissionService {
            inner,
            admission: self.admission.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

/// See [`AdmissionLayer`].
#[derive(Clone, Debug)]
pub struct AdmissionService<S> {
    inner: S,
    admission: Admission,
    metrics: ServerMetrics,
}

impl<S> Service<Request<Body>> for AdmissionService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AdmissionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_exempt(request.uri().path()) {
            return AdmissionFuture::new(Some(self.inner.call(request)), None, None);
        }
        match self.admission.enter() {
            Some(permit) => {
                self.metrics.entered();
                let held = Held {
                    _permit: permit,
                    metrics: self.metrics.clone(),
                };
                let is_stream = arrival::is_stream(request.uri().path());
                let request = match is_stream {
                    true => request,
                    false => request.map(|body| arrival::within(self.admission.read_timeout, body)),
                };
                AdmissionFuture::new(Some(self.inner.call(request)), Some(held), None)
            }
            None => {
                self.metrics.refused("concurrency");
                AdmissionFuture::new(None, None, Some(self.admission.refusal()))
            }
        }
    }
}

struct Held {
    _permit: Permit,
    metrics: ServerMetrics,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.metrics.left();
    }
}

pin_project_lite::pin_project! {
    /// The future of [`AdmissionService`].
    pub struct AdmissionFuture<F> {
        #[pin]
        inner: Option<F>,
        held: Option<Held>,
        refused: Option<Status>,
    }
}

impl<F> AdmissionFuture<F> {
    fn new(inner: Option<F>, held: Option<Held>, refused: Option<Status>) -> Self {
        Self {
            inner,
            held,
            refused,
        }
    }
}

impl<F, E> Future for AdmissionFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(status) = this.refused.take() {
            return Poll::Ready(Ok(status.into_http()));
        }
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Pending; // polled again after the refusal was handed out
        };
        let answer = ready!(inner.poll(cx));
        let held = this.held.take();
        Poll::Ready(answer.map(|response| match held {
            Some(held) => {
                watch(response, OnEnd::new(move |_| drop(held)), Span::none()).map(Body::new)
            }
            None => response,
        }))
    }
}
