//! Layers around the call of an upstream, one for each policy, and the statistics of a call.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use motet_runtime::deadline::Deadline;
use tonic::Status;

use super::Upstream;

/// Requests that the upstream of a layer takes.
pub type RequestOf<L> = <<L as Layer>::Upstream as Upstream>::Request;
/// Responses that the upstream of a layer gives.
pub type ResponseOf<L> = <<L as Layer>::Upstream as Upstream>::Response;

/// A policy around the call of an upstream, or around an inner layer.
pub trait Layer: Send + Sync {
    /// The innermost service, which is called.
    type Upstream: Upstream;

    /// Returns the innermost service.
    fn upstream(&self) -> &Self::Upstream;

    /// Makes one call under this policy and those inside it. It never continues past the deadline.
    ///
    /// # Errors
    /// As [`Upstream::send`]; UNAVAILABLE while the circuit is open.
    fn call(
        &self,
        request: RequestOf<Self>,
        deadline: Deadline,
        recorder: &CallRecorder,
    ) -> impl Future<Output = Result<ResponseOf<Self>, Status>> + Send;
}

/// Statistics of one call: repeated attempts, the circuit breaker and the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Number of retries.
    pub retries: u32,
    /// Number of hedged attempts.
    pub hedges: u32,
    /// `true` if a hedged attempt answered first.
    pub hedge_won: bool,
    /// `true` if an open circuit refused at least one attempt.
    pub circuit_open: bool,
    /// Rows answered from the cache.
    pub cache_hits: u32,
    /// Rows answered by a call that was in flight already.
    pub cache_joined: u32,
}

/// Recorder of the statistics of one call. Attempts that run at the same time share it.
#[derive(Debug, Default)]
pub struct CallRecorder {
    retries: AtomicU32,
    hedges: AtomicU32,
    hedge_won: AtomicBool,
    circuit_open: AtomicBool,
    cache_hits: AtomicU32,
    cache_joined: AtomicU32,
}

impl CallRecorder {
    /// Records a retry.
    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Records a hedged attempt.
    pub(crate) fn hedged(&self) {
        self.hedges.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that a hedged attempt answered first.
    pub(crate) fn hedge_won(&self) {
        self.hedge_won.store(true, Ordering::Relaxed);
    }

    /// Records that an open circuit refused an attempt.
    pub(crate) fn circuit_open(&self) {
        self.circuit_open.store(true, Ordering::Relaxed);
    }

    /// Records the rows that were answered from the cache, and by calls in flight.
    pub(crate) fn cached(&self, hits: usize, joined: usize) {
        let count = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
        self.cache_hits.store(count(hits), Ordering::Relaxed);
        self.cache_joined.store(count(joined), Ordering::Relaxed);
    }

    /// Returns the statistics so far.
    pub fn stats(&self) -> CallStats {
        CallStats {
            retries: self.retries.load(Ordering::Relaxed),
            hedges: self.hedges.load(Ordering::Relaxed),
            hedge_won: self.hedge_won.load(Ordering::Relaxed),
            circuit_open: self.circuit_open.load(Ordering::Relaxed),
            cache_hits: self.cache_hits.load(Ordering::Relaxed),
            cache_joined: self.cache_joined.load(Ordering::Relaxed),
        }
    }
}
