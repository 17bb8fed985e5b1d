//! Policies of a call: how long, how often, at what other times, and whether at all.
//!
//! Everything here is plain state: time and chance are passed in, nothing waits or calls. `call` drives
//! it around a real call.

pub mod backoff;
pub mod breaker;
pub mod bucket;
pub mod latency;
pub mod settings;
