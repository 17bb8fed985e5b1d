//! A running model, with or without an encoder.

use std::sync::Arc;

use motet_batcher::Stats;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::signature::Signature;
use tonic::Status;

use super::{BatchedEncoder, Splitter};
use crate::call_cost::CallCost;
use crate::request::{Parameters, ResponseBuilder};

/// Answers the calls of a model.
#[derive(Debug)]
pub(crate) enum Runner {
    Splitter(Splitter),
    Encoder(Box<BatchedEncoder>),
}

impl Runner {
    /// Answers a call. Dropping the future takes it out of every queue.
    ///
    /// # Errors
    /// The status of the call, without the model's name.
    pub(crate) async fn infer(
        &self,
        request: ModelInferRequest,
        signature: &Arc<Signature>,
        parameters: Parameters,
        response: ResponseBuilder,
    ) -> Result<(ModelInferResponse, CallCost), Status> {
        let signature = signature.clone();
        match self {
            Self::Splitter(splitter) => {
                splitter
                    .infer(request, signature, parameters, response)
                    .await
            }
            Self::Encoder(encoder) => {
                encoder
                    .infer(request, signature, parameters, response)
                    .await
            }
        }
    }

    /// Returns the totals of the batcher, where there is one.
    pub(crate) fn batcher_stats(&self) -> Option<Stats> {
        match self {
            Self::Splitter(_) => None,
            Self::Encoder(encoder) => Some(encoder.batcher.stats()),
        }
    }

    /// `true` as long as calls can be answered: a batcher has an executor that is alive and not
    /// stuck.
    pub(crate) fn is_alive(&self) -> bool {
        self.batcher_stats()
            .is_none_or(|stats| stats.executors > stats.executors_stuck)
    }

    /// From now on no row waits in the queue for others to share its batch.
    pub(crate) fn hurry(&self) {
        if let Self::Encoder(encoder) = self {
            encoder.batcher.hurry();
        }
    }

    /// Refuses new calls, answers those in the queue, and ends the executors' threads.
    pub(crate) async fn drain(&self) {
        if let Self::Encoder(encoder) = self {
            encoder.batcher.drain().await;
        }
    }
}
