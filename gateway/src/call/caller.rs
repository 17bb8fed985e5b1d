//! Calls of one upstream under the policies of a node: retry, hedge, circuit breaker.

use std::future::Future;

use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::{CircuitMetrics, Metrics, RepeatMetrics};
use tokio::time::Instant;
use tonic::Status;

use super::errors::Callee;
use super::hedge::{self, Hedging};
use super::limits::{self, SharedLimits};
use super::{CallStats, retry};
use crate::policy::settings::{Policies, Retry};

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
    fn callee(&self) -> Callee<'_>;

    /// Returns the limits that all callers share.
    fn limits(&self) -> &SharedLimits;

    /// Sends one request, with the time left until `deadline` and the current trace context.
    ///
    /// # Errors
    /// The error of the server as [`Callee::error`] passes it on; DEADLINE_EXCEEDED after the
    /// deadline; UNAVAILABLE if the server cannot be reached.
    fn send(
        &self,
        message: Self::Request,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Self::Response, Status>> + Send;
}

/// An upstream as one node calls it, with the policies of the node and their state.
#[derive(Debug)]
pub struct PolicyClient<U> {
    pub(super) upstream: U,
    retry: Option<Retry>,
    hedging: Option<Hedging>,
    pub(super) repeats: RepeatMetrics,
    circuit: CircuitMetrics,
}

impl<U: Upstream> PolicyClient<U> {
    /// Returns the client with which `node` of `pipeline` calls `upstream`.
    pub fn new(
        upstream: U,
        pipeline: &str,
        node: &str,
        policies: &Policies,
        metrics: &Metrics,
    ) -> Self {
        Self {
            retry: policies.retry.clone(),
            hedging: policies.hedge.map(|h| Hedging::new(h, Instant::now())),
            repeats: metrics.repeats(pipeline, node),
            circuit: metrics.circuit(upstream.label()),
            upstream,
        }
    }

    /// Returns the upstream.
    pub fn upstream(&self) -> &U {
        &self.upstream
    }

    /// Calls the upstream under the policies. Ends by the deadline.
    ///
    /// # Errors
    /// Those of [`Upstream::send`]; UNAVAILABLE while the circuit is open.
    pub async fn call(
        &self,
        message: U::Request,
        deadline: Deadline,
        stats: &mut CallStats,
    ) -> Result<U::Response, Status> {
        self.upstream.limits().record_call(Instant::now());
        match &self.retry {
            Some(retry) => retry::call(self, retry, &message, deadline, stats).await,
            None => self.attempt(message, deadline, stats).await,
        }
    }

    /// Makes one attempt, with its hedges.
    pub(super) async fn attempt(
        &self,
        message: U::Request,
        deadline: Deadline,
        stats: &mut CallStats,
    ) -> Result<U::Response, Status> {
        match &self.hedging {
            Some(hedging) => hedge::call(self, hedging, message, deadline, stats).await,
            None => self.send(message, deadline).await,
        }
        .inspect_err(|error| stats.circuit_open |= limits::is_circuit_open(error))
    }

    /// Sends one request if the circuit admits it.
    pub(super) async fn send(
        &self,
        message: U::Request,
        deadline: Deadline,
    ) -> Result<U::Response, Status> {
        let permit = self
            .upstream
            .limits()
            .admit(&self.upstream, &self.circuit)?;
        let result = self.upstream.send(message, deadline).await;
        permit.finish(result.as_ref().err());
        result
    }
}
