//! A model as one node calls it: the way to it, and the node's policies with what they learnt.
//!
//! From the inside out: `guard` holds back calls of a model that is not reached, `hedge` makes a
//! second call beside a slow one, `retry` makes a failed one again, `cached` leaves out rows whose
//! answers are known. All of it happens inside the
//! future of the request: dropping that drops every call.

mod cached;
mod guard;
mod hedge;
mod retry;

#[cfg(test)]
mod tests;

use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::{CircuitMetrics, Metrics, RepeatMetrics};
use tokio::time::Instant;
use tonic::Status;

use crate::backend::Backend;
use crate::check::Node;
use crate::policy::terms::Retry;
use cached::Cached;
pub use cached::Segment;
pub use guard::Guard;
use hedge::Hedging;

/// A model as one node calls it.
#[derive(Debug)]
pub struct Upstream {
    backend: Backend,
    retry: Option<Retry>,
    hedging: Option<Hedging>,
    cached: Option<Cached>,
    repeats: RepeatMetrics,
    circuit: CircuitMetrics,
}

/// What a call took besides time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Times that it was made again after an error.
    pub retries: u32,
    /// Times that it was made again because it was slow.
    pub hedges: u32,
    /// Whether one of these answered first.
    pub hedge_won: bool,
    /// Whether it was held back, at least once, because the model was not reached before.
    pub circuit_open: bool,
    /// Rows that were not sent because their answers were kept.
    pub cache_hits: u32,
    /// Rows that were not sent because another call had them on its way.
    pub cache_joined: u32,
}

impl Upstream {
    /// The model behind `backend`, as `node` of `pipeline` calls it.
    pub fn new(backend: Backend, pipeline: &str, node: &Node, metrics: &Metrics) -> Self {
        let policies = &node.policies;
        let cached = policies.cache.as_ref().map(|cache| {
            let metrics = metrics.cache(backend.model());
            Cached::new(cache, node, backend.rows(), metrics)
        });
        Self {
            retry: policies.retry.clone(),
            hedging: policies.hedge.map(|h| Hedging::new(h, Instant::now())),
            cached,
            repeats: metrics.repeats(pipeline, &node.name),
            circuit: metrics.circuit(backend.model()),
            backend,
        }
    }

    /// The model, wherever it is.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// One inference under the node's policies. Never goes on past the deadline.
    ///
    /// # Errors
    /// As [`Backend::infer`]; UNAVAILABLE while the model's circuit is open.
    pub async fn infer(
        &self,
        message: ModelInferRequest,
        deadline: Deadline,
        tally: &mut Tally,
    ) -> Result<ModelInferResponse, Status> {
        match &self.cached {
            Some(cached) => cached::infer(self, cached, message, deadline, tally).await,
            None => self.infer_rows(message, deadline, tally).await,
        }
    }

    /// One inference of rows whose answers nobody knows.
    async fn infer_rows(
        &self,
        message: ModelInferRequest,
        deadline: Deadline,
        tally: &mut Tally,
    ) -> Result<ModelInferResponse, Status> {
        self.backend.guard().called(Instant::now());
        match &self.retry {
            Some(retry) => retry::call(self, retry, &message, deadline, tally).await,
            None => self.try_once(message, deadline, tally).await,
        }
    }

    /// One try: a call, and those made beside it where it is slow.
    async fn try_once(
        &self,
        message: ModelInferRequest,
        deadline: Deadline,
        tally: &mut Tally,
    ) -> Result<ModelInferResponse, Status> {
        match &self.hedging {
            Some(hedging) => hedge::call(self, hedging, message, deadline, tally).await,
            None => self.call(message, deadline).await,
        }
        .inspect_err(|error| tally.circuit_open |= guard::is_circuit_open(error))
    }

    /// One call, if the circuit lets it through.
    async fn call(
        &self,
        message: ModelInferRequest,
        deadline: Deadline,
    ) -> Result<ModelInferResponse, Status> {
        let pass = self.backend.guard().enter(&self.backend, &self.circuit)?;
        let result = self.backend.infer(message, Some(deadline)).await;
        pass.end(result.as_ref().err());
        if let Ok(response) = &result {
            self.backend.guard().answered(response);
        }
        result
    }
}
