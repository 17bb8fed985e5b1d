//! Texts to token ids before the batcher, vectors to tensors after it.

use std::sync::Arc;

use motet_models::{TokenIds, Tokenizer, Values};
use motet_proto::TensorError;
use motet_runtime::status::{Reason, invalid_argument, resource_exhausted};
use rayon::prelude::*;
use tonic::Status;

use super::EncoderTask;
use crate::limits::Limits;
use crate::request::{Inputs, Outputs};

/// Minimum texts that are worth another thread.
const TEXTS_PER_THREAD_MIN: usize = 4;

/// Texts to token ids, vectors to tensors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct TextCodec {
    pub(crate) task: &'static dyn EncoderTask,
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// Maximum tokens of a row, special tokens included; longer texts are cut.
    pub(crate) max_tokens: usize,
    /// Values of a vector.
    pub(crate) vector_size: usize,
    pub(crate) limits: Limits,
}

impl TextCodec {
    /// Estimates the work of [`tokenize`](Self::tokenize), in the unit of [`Tokenizer::cost`].
    pub(super) fn tokenization_cost(&self, inputs: &Inputs) -> usize {
        let texts = self.task.texts(inputs).into_iter();
        texts.map(|text| self.tokenizer.cost(text)).sum()
    }

    /// Returns the token ids of the encoder's rows. On a thread of a rayon pool, the other threads
    /// of the pool help.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED where the vectors of all tokens are over the limit; INVALID_ARGUMENT for
    /// a text that the tokenizer refuses.
    pub(super) fn tokenize(&self, inputs: &Inputs) -> Result<Vec<TokenIds>, Status> {
        let texts = self.task.texts(inputs);
        let encode = |(row, text): (usize, &&str)| {
            let ids = self.tokenizer.encode_within(text, self.max_tokens);
            ids.map_err(|e| invalid_argument(self.task.field(row), e.to_string()).build())
        };
        let rows: Result<Vec<TokenIds>, Status> = if rayon::current_thread_index().is_some() {
            let texts = texts.par_iter().with_min_len(TEXTS_PER_THREAD_MIN);
            texts.enumerate().map(encode).collect()
        } else {
            texts.iter().enumerate().map(encode).collect()
        };
        let rows = rows?;
        self.check_tokens(&rows)?;
        Ok(rows)
    }

    fn check_tokens(&self, rows: &[TokenIds]) -> Result<(), Status> {
        let tokens: usize = rows.iter().map(TokenIds::len).sum();
        let limit = self.limits.token_vectors;
        if !self.task.has_token_vectors() || tokens <= limit {
            return Ok(());
        }
        let message = format!(
            "the texts have {tokens} tokens; a call takes at most {limit}, send several calls"
        );
        Err(resource_exhausted(message, None)
            .reason(Reason::TooManyTokens)
            .with("limit", limit.to_string())
            .into())
    }

    /// Number of values in the response to a call of `rows` rows, if it is known before they are
    /// encoded.
    pub(super) fn output_values(&self, rows: usize) -> Option<usize> {
        (!self.task.has_token_vectors()).then_some(rows * self.vector_size)
    }

    /// Returns the output tensors of a call.
    ///
    /// # Errors
    /// As [`EncoderTask::outputs`].
    pub(super) fn outputs(&self, rows: Vec<Values>) -> Result<Outputs, TensorError> {
        self.task.outputs(rows, self.vector_size)
    }
}
