//! Services that nodes call: models, and methods of gRPC servers.

use std::future::Future;

use motet_runtime::deadline::Deadline;
use tonic::Status;

use super::SharedLimits;
use super::errors::UpstreamInfo;
use super::transport::Failure;

/// A service that nodes call: a model, or a method of a gRPC server.
pub trait Upstream: Send + Sync {
    /// Message that is sent.
    type Request: Clone + Send + Sync;
    /// Message that is received.
    type Response: Send;

    /// Returns `model` or `endpoint`, for messages and as the key of the name in an error.
    fn kind(&self) -> &'static str;

    /// Returns the name in the configuration.
    fn label(&self) -> &str;

    /// Returns the address, for messages.
    fn address(&self) -> &str;

    /// Returns what errors say of the upstream.
    fn info(&self) -> UpstreamInfo<'_>;

    /// Returns the limits that all callers share.
    fn limits(&self) -> &SharedLimits;

    /// Sends one request, with the time left until `deadline` and the current trace context.
    ///
    /// # Errors
    /// The error of the server as `UpstreamInfo` passes it on; DEADLINE_EXCEEDED after the
    /// deadline; UNAVAILABLE if the server cannot be reached.
    fn send(
        &self,
        message: Self::Request,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Self::Response, CallError>> + Send;
}

/// Error of a call, and what it says of the way to the server.
#[derive(Debug)]
pub struct CallError {
    /// The error, as callers get it.
    pub status: Status,
    /// Outcome of the call.
    pub failure: Failure,
}
