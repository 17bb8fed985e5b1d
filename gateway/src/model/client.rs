//! A model as one node calls it: under the node's policies, and through its cache.

use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::Metrics;
use tonic::Status;

use super::Backend;
use super::cache::{self, NodeCache};
use crate::call::{CallRecorder, PolicyClient};
use crate::check::Node;

/// A model as one node calls it.
#[derive(Debug)]
pub struct ModelClient {
    pub(super) calls: PolicyClient<Backend>,
    cache: Option<NodeCache>,
}

impl ModelClient {
    /// The model behind `backend`, as `node` of `pipeline` calls it.
    pub fn new(backend: Backend, pipeline: &str, node: &Node, metrics: &Metrics) -> Self {
        let cache = node.policies.cache.as_ref().map(|settings| {
            let metrics = metrics.cache(backend.model());
            NodeCache::new(settings, node, backend.rows(), metrics)
        });
        Self {
            calls: PolicyClient::new(backend, pipeline, &node.name, &node.policies, metrics),
            cache,
        }
    }

    /// The model, wherever it is.
    pub fn backend(&self) -> &Backend {
        self.calls.upstream()
    }

    /// One inference under the node's policies. Never goes on past the deadline.
    ///
    /// # Errors
    /// As [`Backend::infer`]; UNAVAILABLE while the model's circuit is open.
    pub async fn infer(
        &self,
        message: ModelInferRequest,
        deadline: Deadline,
        recorder: &CallRecorder,
    ) -> Result<ModelInferResponse, Status> {
        match &self.cache {
            Some(cache) if !self.backend().carries_headers() => {
                cache::infer(self, cache, message, deadline, recorder).await
            }
            _ => self.calls.call(message, deadline, recorder).await,
        }
    }
}
