//! Calls of one server under a node's policies: made again, made twice, held back.

use std::future::Future;

use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::{CircuitMetrics, Metrics, RepeatMetrics};
use tokio::time::Instant;
use tonic::Status;

use super::hedge::{self, Hedging};
use super::limits::{self, Guard};
use super::{Tally, retry};
use crate::policy::settings::{Policies, Retry};

/// What can be called: a model, or a method of another server.
pub trait Target: Send + Sync {
    /// What is sent.
    type Message: Clone + Send + Sync;
    /// What comes back.
    type Answer: Send;

    /// What it is, for messages and as the key of its name in an error: `model` or `endpoint`.
    fn kind(&self) -> &'static str;

    /// What it is called in the configuration.
    fn label(&self) -> &str;

    /// Where it is, for people.
    fn place(&self) -> &str;

    /// What all who call it share.
    fn guard(&self) -> &Guard;

    /// One call. What is left until `deadline` and the current trace go along.
    ///
    /// # Errors
    /// The server's own status, naming what was called; DEADLINE_EXCEEDED when late; UNAVAILABLE
    /// when it cannot be reached.
    fn send(
        &self,
        message: Self::Message,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Self::Answer, Status>> + Send;
}

/// What one node calls, with the node's policies and what they learnt.
#[derive(Debug)]
pub struct Calls<T> {
    pub(super) target: T,
    retry: Option<Retry>,
    hedging: Option<Hedging>,
    pub(super) repeats: RepeatMetrics,
    circuit: CircuitMetrics,
}

impl<T: Target> Calls<T> {
    /// `target`, as `node` of `pipeline` calls it under its policies.
    pub fn new(
        target: T,
        pipeline: &str,
        node: &str,
        policies: &Policies,
        metrics: &Metrics,
    ) -> Self {
        Self {
            retry: policies.retry.clone(),
            hedging: policies.hedge.map(|h| Hedging::new(h, Instant::now())),
            repeats: metrics.repeats(pipeline, node),
            circuit: metrics.circuit(target.label()),
            target,
        }
    }

    /// What is called.
    pub fn target(&self) -> &T {
        &self.target
    }

    /// One call under the node's policies. Never goes on past the deadline.
    ///
    /// # Errors
    /// As [`Target::send`]; UNAVAILABLE while the circuit is open.
    pub async fn make(
        &self,
        message: T::Message,
        deadline: Deadline,
        tally: &mut Tally,
    ) -> Result<T::Answer, Status> {
        self.target.guard().called(Instant::now());
        match &self.retry {
            Some(retry) => retry::call(self, retry, &message, deadline, tally).await,
            None => self.try_once(message, deadline, tally).await,
        }
    }

    /// One try: a call, and those made beside it where it is slow.
    pub(super) async fn try_once(
        &self,
        message: T::Message,
        deadline: Deadline,
        tally: &mut Tally,
    ) -> Result<T::Answer, Status> {
        match &self.hedging {
            Some(hedging) => hedge::call(self, hedging, message, deadline, tally).await,
            None => self.call(message, deadline).await,
        }
        .inspect_err(|error| tally.circuit_open |= limits::is_circuit_open(error))
    }

    /// One call, if the circuit lets it through.
    pub(super) async fn call(
        &self,
        message: T::Message,
        deadline: Deadline,
    ) -> Result<T::Answer, Status> {
        let pass = self.target.guard().enter(&self.target, &self.circuit)?;
        let result = self.target.send(message, deadline).await;
        pass.end(result.as_ref().err());
        result
    }
}
