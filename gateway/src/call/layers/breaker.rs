//! The circuit breaker, the innermost layer, and the limits that all callers of one upstream share:
//! its breaker and its budgets for calls that are made again.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::CircuitMetrics;
use motet_runtime::status::Reason;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::call::transport::{Failure, Transport};
use crate::call::upstream::CallError;
use crate::call::{CallRecorder, Layer, Upstream, probe};
use crate::policy::breaker::{Breaker, BreakerOptions, Change, Outcome};
use crate::policy::bucket::{Rates, TokenBucket};

/// Budget for the retries of all callers of an upstream: a fifth of their calls, and one a second
/// for callers with few calls.
const RETRIES: Rates = Rates {
    capacity: 10.0,
    per_call: 0.2,
    per_second: 1.0,
};
/// Budget for calls that were lost with their connection: as many as a connection carries at once,
/// and else as for retries.
const RESENDS: Rates = Rates {
    capacity: 256.0,
    ..RETRIES
};
/// Pauses before a call is made again since its connection broke, as often as there are pauses. The
/// first is at once; it may still find the connection that is about to be given up.
const RESEND_PAUSES: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(16),
    Duration::from_millis(64),
];
/// Time without an answer after which a call that is given up was met with silence.
const SILENCE: Duration = Duration::from_millis(500);
/// It was, too, if it waited for so many times what was left of its time.
const SILENCE_SHARE: u32 = 8;

/// An upstream whose callers share limits.
#[derive(Debug, Clone)]
pub struct Callee {
    /// `model` or `endpoint`.
    pub kind: &'static str,
    /// Its name, for the log.
    pub name: String,
    /// Its address, for the log.
    pub address: String,
}

/// Limits that all callers of one upstream share.
pub struct SharedLimits {
    callee: Callee,
    /// The way to it, for probes; `None` for one of this process, which is always reached.
    transport: Option<Transport>,
    breaker: Mutex<Breaker>,
    retries: Mutex<TokenBucket>,
    resends: Mutex<TokenBucket>,
    /// Metrics of the circuit, by the names by which the upstream is called.
    metrics: Mutex<Vec<(String, CircuitMetrics)>>,
    own: Weak<Self>,
}

impl std::fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedLimits({:?})", self.callee)
    }
}

impl SharedLimits {
    /// Returns a closed circuit and full budgets. Without a transport nothing is probed, and
    /// nothing opens the circuit.
    pub(crate) fn new(
        callee: Callee,
        transport: Option<Transport>,
        options: BreakerOptions,
    ) -> Arc<Self> {
        let now = Instant::now();
        Arc::new_cyclic(|own| Self {
            callee,
            transport,
            breaker: Mutex::new(Breaker::new(options)),
            retries: Mutex::new(TokenBucket::new(RETRIES, now)),
            resends: Mutex::new(TokenBucket::new(RESENDS, now)),
            metrics: Mutex::default(),
            own: own.clone(),
        })
    }

    /// Shows the circuit in these metrics, those of the callers who know the upstream by `name`.
    pub(crate) fn show(&self, name: &str, metrics: &CircuitMetrics) {
        let mut all = lock(&self.metrics);
        if all.iter().all(|(known, _)| known != name) {
            all.push((name.to_owned(), metrics.clone()));
        }
    }

    /// Returns whether the circuit is open: the upstream is not reached.
    pub fn is_open(&self) -> bool {
        lock(&self.breaker).is_open()
    }

    /// Records a call, not counting its retries, which adds to the budgets.
    pub(crate) fn record_call(&self, now: Instant) {
        lock(&self.retries).record_call(now);
        if self.transport.is_some() {
            lock(&self.resends).record_call(now);
        }
    }

    /// Takes a retry from the budget. Returns whether there was one.
    pub(crate) fn take_retry(&self, now: Instant) -> bool {
        lock(&self.retries).take(now)
    }

    /// Takes from the budget of calls that were lost. Returns whether there was one.
    fn take_resend(&self, now: Instant) -> bool {
        lock(&self.resends).take(now)
    }

    /// Admits one call.
    ///
    /// # Errors
    /// The time after which to ask again, while the circuit is open.
    fn admit(&self, deadline: Deadline) -> Result<Admitted<'_>, Duration> {
        let now = Instant::now();
        let admitted = lock(&self.breaker).admit(now);
        if admitted.is_err() {
            // Unless the prober was dropped, there is one.
            self.start_prober();
        }
        admitted.map(|()| Admitted {
            limits: self,
            deadline,
            began: now,
            is_over: false,
        })
    }

    fn record(&self, outcome: Outcome) {
        if self.transport.is_none() {
            return;
        }
        let change = lock(&self.breaker).record(outcome, Instant::now(), fastrand::f64());
        self.changed(change);
        if outcome != Outcome::Answered {
            self.start_prober();
        }
    }

    /// Starts a prober if the circuit needs one and there is none.
    fn start_prober(&self) {
        let (Some(transport), Ok(runtime)) = (&self.transport, Handle::try_current()) else {
            return;
        };
        if lock(&self.breaker).take_prober() {
            let prober = probe::Prober::new(self.own.clone());
            runtime.spawn(prober.run(transport.clone()));
        }
    }

    /// Runs a step of the prober on the breaker.
    pub(crate) fn with_breaker<T>(&self, step: impl FnOnce(&mut Breaker) -> T) -> T {
        step(&mut lock(&self.breaker))
    }

    /// Tells of a change of the circuit.
    pub(crate) fn changed(&self, change: Option<Change>) {
        let Callee {
            kind,
            name,
            address,
        } = &self.callee;
        match change {
            Some(Change::Opened) => {
                lock(&self.metrics).iter().for_each(|(_, m)| m.opened());
                tracing::warn!(
                    name,
                    address,
                    "a {kind} is not reached: its circuit is open"
                );
            }
            Some(Change::Closed) => {
                lock(&self.metrics).iter().for_each(|(_, m)| m.closed());
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

/// Layer that sends a request to the upstream, unless the circuit is open, and again if it was lost
/// with its connection.
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
        recorder: &CallRecorder,
    ) -> Result<U::Response, Status> {
        let limits = self.upstream.limits();
        let admitted = limits.admit(deadline).map_err(|left| {
            self.metrics.refused();
            self.upstream.info().circuit_open(left)
        })?;
        if limits.transport.is_none() {
            let result = self.upstream.send(request, deadline).await;
            return result.map_err(|error| error.status);
        }
        let (result, resends) = self.send(limits, request, deadline, recorder).await;
        admitted.finish(match &result {
            Ok(_) => Outcome::Answered,
            Err(error) => outcome(error.failure, resends),
        });
        result.map_err(|error| error.status)
    }
}

impl<U: Upstream> Breaking<U> {
    /// Sends a request, and again at once while it is lost with its connection: a call changes
    /// nothing, so that it may be made twice. Returns how often it was sent again.
    async fn send(
        &self,
        limits: &SharedLimits,
        request: U::Request,
        deadline: Deadline,
        recorder: &CallRecorder,
    ) -> (Result<U::Response, CallError>, u32) {
        let mut resends = 0;
        let mut pauses = RESEND_PAUSES.into_iter();
        loop {
            let result = self.upstream.send(request.clone(), deadline).await;
            let is_lost = matches!(&result, Err(error) if error.failure == Failure::Lost);
            let pause = is_lost.then(|| pauses.next()).flatten();
            let now = Instant::now();
            let pause = pause.filter(|pause| *pause < deadline.remaining(now));
            let Some(pause) = pause.filter(|_| limits.take_resend(now)) else {
                return (result, resends);
            };
            resends += 1;
            self.metrics.resent();
            recorder.retried();
            tokio::time::sleep(pause).await;
        }
    }
}

/// Returns what the failure of a call, after it was sent again so often, says of its service.
const fn outcome(failure: Failure, resends: u32) -> Outcome {
    match failure {
        Failure::Answered => Outcome::Answered,
        Failure::Unreached | Failure::Garbled => Outcome::Failed,
        // One broken connection is no outage, a second one in a row is.
        Failure::Lost if resends > 0 => Outcome::Failed,
        Failure::Lost | Failure::Silent => Outcome::Unanswered,
        Failure::Unsent => Outcome::Dropped,
    }
}

/// Returns whether a call failed because the circuit was open.
pub(crate) fn is_circuit_open(error: &Status) -> bool {
    error.code() == Code::Unavailable && Reason::of(error) == Some(Reason::CircuitOpen)
}

/// A call that was admitted. Dropping it unfinished reports that it was given up.
struct Admitted<'a> {
    limits: &'a SharedLimits,
    deadline: Deadline,
    began: Instant,
    is_over: bool,
}

impl Admitted<'_> {
    /// Reports the outcome of the call.
    fn finish(mut self, outcome: Outcome) {
        self.is_over = true;
        self.limits.record(outcome);
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let now = Instant::now();
        let (waited, left) = (now - self.began, self.deadline.remaining(now));
        let is_silent = waited >= SILENCE || waited >= left.saturating_mul(SILENCE_SHARE);
        self.limits.record(match is_silent {
            true => Outcome::Unanswered,
            false => Outcome::Dropped,
        });
    }
}

/// Locks a mutex, also after a panic of another holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
