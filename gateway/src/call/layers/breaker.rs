//! The circuit breaker, the innermost layer, and the limits that all callers of one upstream share:
//! its breaker and its retry budget.

use std::sync::{Mutex, PoisonError};

use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::CircuitMetrics;
use motet_runtime::status::Reason;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::call::{CallRecorder, Layer, Upstream};
use crate::policy::breaker::{Breaker, BreakerOptions, Change, Outcome, Permit};
use crate::policy::bucket::{Rates, TokenBucket};

/// Budget for the retries of all callers of an upstream: a fifth of their calls, and one a second
/// for callers with few calls.
const RETRIES: Rates = Rates {
    capacity: 10.0,
    per_call: 0.2,
    per_second: 1.0,
};

/// Limits that all callers of one upstream share.
#[derive(Debug)]
pub struct SharedLimits {
    breaker: Mutex<Breaker>,
    retries: Mutex<TokenBucket>,
}

impl SharedLimits {
    /// Returns a closed circuit and a full budget.
    pub fn new(options: BreakerOptions) -> Self {
        Self {
            breaker: Mutex::new(Breaker::new(options)),
            retries: Mutex::new(TokenBucket::new(RETRIES, Instant::now())),
        }
    }

    /// Records a call, not counting its retries, which adds to the budget.
    pub(crate) fn record_call(&self, now: Instant) {
        lock(&self.retries).record_call(now);
    }

    /// Takes a retry from the budget. Returns whether there was one.
    pub(crate) fn take_retry(&self, now: Instant) -> bool {
        lock(&self.retries).take(now)
    }

    /// Admits one request.
    ///
    /// # Errors
    /// UNAVAILABLE while the circuit is open.
    pub(crate) fn admit<'a, U: Upstream>(
        &'a self,
        upstream: &'a U,
        metrics: &'a CircuitMetrics,
    ) -> Result<BreakerPermit<'a, U>, Status> {
        let permit = lock(&self.breaker).permit(Instant::now());
        match permit {
            Ok(permit) => Ok(BreakerPermit {
                limits: self,
                upstream,
                metrics,
                permit: Some(permit),
            }),
            Err(left) => {
                metrics.refused();
                Err(upstream.info().circuit_open(left))
            }
        }
    }
}

/// Layer that sends a request to the upstream, unless the circuit is open.
#[derive(Debug)]
pub(crate) struct Breaking<U> {
    pub(super) upstream: U,
    pub(super) metrics: CircuitMetrics,
}

impl<U: Upstream> Layer for Breaking<U> {
    type Upstream = U;

    fn upstream(&self) -> &U {
        &self.upstream
    }

    async fn call(
        &self,
        request: U::Request,
        deadline: Deadline,
        _: &CallRecorder,
    ) -> Result<U::Response, Status> {
        let limits = self.upstream.limits();
        let permit = limits.admit(&self.upstream, &self.metrics)?;
        let result = self.upstream.send(request, deadline).await;
        permit.finish(result.as_ref().err());
        result
    }
}

/// Returns whether a call failed because the circuit was open.
pub(crate) fn is_circuit_open(error: &Status) -> bool {
    error.code() == Code::Unavailable && Reason::of(error) == Some(Reason::CircuitOpen)
}

/// Permission for one request. Dropping it unfinished reports [`Outcome::Dropped`].
pub(crate) struct BreakerPermit<'a, U: Upstream> {
    limits: &'a SharedLimits,
    upstream: &'a U,
    metrics: &'a CircuitMetrics,
    permit: Option<Permit>,
}

impl<U: Upstream> BreakerPermit<'_, U> {
    /// Reports the outcome of the request, `None` for success.
    pub(crate) fn finish(mut self, error: Option<&Status>) {
        self.release(match error.map(Status::code) {
            Some(Code::Unavailable) => Outcome::Failed,
            // The patience of a caller says nothing about the upstream.
            Some(Code::DeadlineExceeded | Code::Cancelled) => Outcome::Dropped,
            _ => Outcome::Answered,
        });
    }

    fn release(&mut self, outcome: Outcome) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let now = Instant::now();
        let change = lock(&self.limits.breaker).release(permit, outcome, now, fastrand::f64());
        let (kind, name, address) = (
            self.upstream.kind(),
            self.upstream.label(),
            self.upstream.address(),
        );
        match change {
            Some(Change::Opened(pause)) => {
                self.metrics.opened();
                tracing::warn!(
                    name,
                    address,
                    ?pause,
                    "a {kind} is not reached: its circuit is open"
                );
            }
            Some(Change::Closed) => {
                self.metrics.closed();
                tracing::info!(
                    name,
                    address,
                    "a {kind} is reached again: its circuit is closed"
                );
            }
            None => {}
        }
    }
}

impl<U: Upstream> Drop for BreakerPermit<'_, U> {
    fn drop(&mut self) {
        self.release(Outcome::Dropped);
    }
}

/// Locks a mutex, also after a panic of another holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
