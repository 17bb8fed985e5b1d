//! One call under a node's policies, generic over what is called.
//!
//! * [`caller`](Calls): the policies around a call, from the inside out: limits, hedge, retry.
//! * `limits`: the circuit breaker and the retry budget that all callers of one server share.
//! * `hedge`: a second call beside a slow one.
//! * `retry`: a failed call again.
//! * `transport`: the gRPC channel, and what travels with a request.
//!
//! All of it happens inside the future of the request: dropping that drops every call.

pub(crate) mod limits;
pub(crate) mod transport;

mod caller;
mod hedge;
mod retry;

#[cfg(test)]
mod tests;

pub use caller::{PolicyClient, Upstream};
pub use limits::SharedLimits;

/// What a call took besides time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Times that it was made again after an error.
    pub retries: u32,
    /// Times that it was made again because it was slow.
    pub hedges: u32,
    /// Whether one of these answered first.
    pub hedge_won: bool,
    /// Whether it was held back, at least once, because what is called was not reached before.
    pub circuit_open: bool,
    /// Rows that were not sent because their answers were kept.
    pub cache_hits: u32,
    /// Rows that were not sent because another call had them on its way.
    pub cache_joined: u32,
}
