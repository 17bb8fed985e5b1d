//! Policies of a call: how long it may take, when it is made again, and whether it is made at all.
//!
//! Everything here is plain state: time and random numbers are parameters, and nothing waits or
//! calls. [`call`](crate::call) applies the policies to real calls.
//!
//! * [`backoff`]: pauses before retries.
//! * [`breaker`]: a circuit breaker.
//! * [`bucket`]: a token bucket, the budget for retries and hedges.
//! * [`latency`]: percentiles over the latest latencies.
//! * [`window`]: the latest values of a series.

pub mod backoff;
pub mod breaker;
pub mod bucket;
pub mod latency;
pub mod window;
