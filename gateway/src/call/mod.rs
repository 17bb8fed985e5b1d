//! One call under the policies of a node, generic over the [`Upstream`] that is called.
//!
//! * [`caller`](PolicyClient): applies the policies, from the inside out: limits, hedge, retry.
//! * `limits`: the circuit breaker and the retry budget that all callers of one upstream share.
//! * `hedge`: a second attempt while the first is slow.
//! * `retry`: further attempts after a failure.
//! * `errors`: errors of other servers, as callers get them.
//! * `transport`: the gRPC channel, and the metadata of a request.
//!
//! A call is one future; dropping it cancels every attempt in flight.

pub(crate) mod errors;
pub(crate) mod limits;
pub(crate) mod transport;

mod caller;
mod hedge;
mod retry;

#[cfg(test)]
mod tests;

pub use caller::{PolicyClient, Upstream};
pub use limits::SharedLimits;

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
