//! What one node calls: the way to it, and the node's policies with what they learnt.
//!
//! From the inside out: `guard` holds back calls of a model that is not reached, `hedge` makes a
//! second call beside a slow one, `retry` makes a failed one again ([`Calls`], for models and for methods of
//! other servers); `cached` leaves out rows whose answers are known ([`Upstream`], for models). All of it happens inside the
//! future of the request: dropping that drops every call.

mod cached;
mod calls;
mod guard;
mod hedge;
mod retry;

#[cfg(test)]
mod tests;

use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::Metrics;
use tonic::Status;

use crate::backend::Backend;
use crate::check::Node;
use cached::Cached;
pub use cached::Segment;
pub use calls::{Calls, Target};
pub use guard::Guard;

/// A model as one node calls it.
#[derive(Debug)]
pub struct Upstream {
    calls: Calls<Backend>,
    cached: Option<Cached>,
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
    /// Whether it was held back, at least once, because what is called was not reached before.
    pub circuit_open: bool,
    /// Rows that were not sent because their answers were kept.
    pub cache_hits: u32,
    /// Rows that were not sent because another call had them on its way.
    pub cache_joined: u32,
}

impl Upstream {
    /// The model behind `backend`, as `node` of `pipeline` calls it.
    pub fn new(backend: Backend, pipeline: &str, node: &Node, metrics: &Metrics) -> Self {
        let cached = node.policies.cache.as_ref().map(|cache| {
            let metrics = metrics.cache(backend.model());
            Cached::new(cache, node, backend.rows(), metrics)
        });
        Self {
            calls: Calls::new(backend, pipeline, node, metrics),
            cached,
        }
    }

    /// The model, wherever it is.
    pub fn backend(&self) -> &Backend {
        self.calls.target()
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
            None => self.calls.make(message, deadline, tally).await,
        }
    }
}
