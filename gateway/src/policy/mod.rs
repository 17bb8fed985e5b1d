//! Policies of a call: how long, how often, at what other times, and whether at all.
//!
//! Everything here is plain state: time and chance are passed in, nothing waits or calls. What
//! drives it around a real call is `exec`.

pub mod backoff;
pub mod breaker;
pub mod bucket;
pub mod latency;
pub mod reserve;
pub mod sequel;
pub mod store;
pub mod terms;
