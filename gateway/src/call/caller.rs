//! Calls of one server under a node's policies: made again, made twice, held back.

use std::future::Future;

use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::{CircuitMetrics, Metrics, RepeatMetrics};
use tokio::time::Instant;
use tonic::Status;

use super::hedge::{self, Hedging};
use super::limits::{self, SharedLimits};
use super::{CallStats, retry};
use crate::policy::settings::{Policies, Retry};

/// What can be called: a model, or a method of another server.
pub trait Upstream: Send + Sync {
    /// What is sent.
    type Request: Clone + Send + Sync;
    /// What comes back.
    type Response: Send;

    /// What it is, for messages and as the key of its name in an error: `model` or `endpoint`.
    fn kind(&self) -> &'static str;

    /// What it is called in the configuration.
    fn label(&self) -> &str;

    /// Where it is, for people.
    fn address(&self) -> &str;

    /// What all who call it share.
    fn limits(&self) -> &SharedLimits;

    /// One call. What is left until `deadline` and the current trace go along.
    ///
    /// # Errors
    /// The server's own status, naming what was called; DEADLINE_EXCEEDED when late; UNAVAILABLE
    /// when it cannot be reached.
    fn send(
        &self,
        message: Self::Request,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Self::Response, Status>> + Send;
}

/// What one node calls, with the node's policies and what they learnt.
#[derive(Debug)]
pub struct PolicyClient<U> {
    pub(super) upstream: U,
    retry: Option<Retry>,
    hedging: Option<Hedging>,
    pub(super) repeats: RepeatMetrics,
    circuit: CircuitMetrics,
}

impl<U: Upstream> PolicyClient<U> {
    /// `upstream`, as `node` of `pipeline` calls it under its policies.
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

    /// What is called.
    pub fn upstream(&self) -> &U {
        &self.upstream
    }

    /// One call under the node's policies. Never goes on past the deadline.
    ///
    /// # Errors
    /// As [`Upstream::send`]; UNAVAILABLE while the circuit is open.
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

    /// One try: a call, and those made beside it where it is slow.
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

    /// One call, if the circuit lets it through.
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
