//! What models do: texts in, tensors out.

mod encode;
mod head;
mod preprocess;

use std::time::Duration;

use motet_batcher::{CallTiming, Stats};
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::signature::Signature;
use tonic::Status;

pub(crate) use encode::{Encode, Encoding};
pub(crate) use preprocess::Preprocess;

use crate::call::{Reply, Settings};

/// What one call may ask for, beside what fits in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows of an input. Default 16,384.
    pub rows: usize,
    /// Most bytes of one text. Default 1 MiB.
    pub text_bytes: usize,
    /// Most tokens of a call that needs the vectors of all of them (`embed_tokens`, `rerank`): these are held in memory
    /// until the answer is made. Default 65,536.
    pub token_vectors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 16_384,
            text_bytes: 1 << 20,
            token_vectors: 65_536,
        }
    }
}

/// Where a call's time went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost {
    /// Waiting for an executor, or for a thread where there is no batcher.
    pub(crate) queue: Duration,
    /// Reading and tokenizing.
    pub(crate) input: Duration,
    /// The run of the model.
    pub(crate) infer: Duration,
    /// Making the answer.
    pub(crate) output: Duration,
    /// Rows of the call.
    pub(crate) rows: usize,
    /// Its times in the batcher, where there is one.
    pub(crate) timing: Option<CallTiming>,
}

/// What a model does with a call.
#[derive(Debug)]
pub(crate) enum Task {
    Preprocess(Preprocess),
    Encode(Encode),
}

impl Task {
    /// Answers a call. Dropping the future takes it out of every queue.
    pub(crate) async fn run(
        &self,
        request: ModelInferRequest,
        signature: &std::sync::Arc<Signature>,
        settings: Settings,
        reply: Reply,
    ) -> Result<(ModelInferResponse, Cost), Status> {
        let signature = signature.clone();
        match self {
            Self::Preprocess(task) => task.run(request, signature, settings, reply).await,
            Self::Encode(task) => task.run(request, signature, settings, reply).await,
        }
    }

    /// The batcher's totals, where there is one.
    pub(crate) fn batches(&self) -> Option<Stats> {
        match self {
            Self::Preprocess(_) => None,
            Self::Encode(task) => Some(task.stats()),
        }
    }

    /// Whether calls can be answered.
    pub(crate) fn is_alive(&self) -> bool {
        self.batches().is_none_or(|stats| stats.executors > 0)
    }

    /// From now on no call waits for company.
    pub(crate) fn hurry(&self) {
        if let Self::Encode(task) = self {
            task.hurry();
        }
    }

    /// Answers what is admitted, refuses what comes, and ends the executors' threads.
    pub(crate) async fn drain(&self) {
        if let Self::Encode(task) = self {
            task.drain().await;
        }
    }
}
