//! One call under the policies of a node, generic over the [`Upstream`] that is called.
//!
//! * `upstream`: a service that nodes call.
//! * `layer`: a policy around a call, and the statistics of a call.
//! * [`layers`]: the policies, one file for each, and the stack that they make.
//! * `errors`: errors of other servers, as callers get them.
//! * `transport`: the gRPC channel, the metadata of a request, and failures of the way.
//! * `probe`: finds out in the background whether an upstream is reached again.
//!
//! A call is one future; dropping it cancels every attempt in flight.

pub(crate) mod errors;
pub mod layers;
pub(crate) mod transport;

mod layer;
mod probe;
mod upstream;

#[cfg(test)]
mod tests;

pub use layer::{CallRecorder, CallStats, Layer, RequestOf, ResponseOf};
pub(crate) use layers::breaker::Callee;
pub use layers::breaker::SharedLimits;
pub use layers::{Policies, PolicyClient, PolicySpecs};
pub use transport::Failure;
pub use upstream::{CallError, Upstream};
