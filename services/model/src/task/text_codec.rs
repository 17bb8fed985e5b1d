//! Texts to token ids before the batcher, vectors to tensors after it.

use std::ops::Range;
use std::sync::Arc;

use motet_models::{TokenIds, Tokenizer, Values};
use motet_proto::TensorError;
use motet_runtime::status::{Reason, invalid_argument, resource_exhausted};
use tonic::Status;

use super::EncoderTask;
use crate::cpu_pool::slices;
use crate::limits::Limits;
use crate::request::{Inputs, Outputs};

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

    /// Returns the rows in parts that take a few milliseconds each to tokenize.
    pub(super) fn slices(&self, inputs: &Inputs) -> Vec<Range<usize>> {
        text_slices(&self.task.texts(inputs))
    }

    /// Returns the token ids of all rows of the encoder.
    ///
    /// # Errors
    /// As [`tokenize_slice`](Self::tokenize_slice) and [`check_tokens`](Self::check_tokens).
    pub(super) fn tokenize(&self, inputs: &Inputs) -> Result<Vec<TokenIds>, Status> {
        let rows = self.tokenize_slice(inputs, 0..usize::MAX)?;
        self.check_tokens(&rows)?;
        Ok(rows)
    }

    /// Returns the token ids of the encoder's rows in this range.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a text that the tokenizer refuses.
    pub(super) fn tokenize_slice(
        &self,
        inputs: &Inputs,
        slice: Range<usize>,
    ) -> Result<Vec<TokenIds>, Status> {
        let texts = self.task.texts(inputs);
        let rows = texts.iter().enumerate();
        let rows = rows.skip(slice.start).take(slice.len());
        let encode = |(row, text): (usize, &&str)| {
            let ids = self.tokenizer.encode_within(text, self.max_tokens);
            ids.map_err(|e| invalid_argument(self.task.field(row), e.to_string()).build())
        };
        rows.map(encode).collect()
    }

    /// Checks the number of tokens of a call.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED where the vectors of all tokens are over the limit.
    pub(super) fn check_tokens(&self, rows: &[TokenIds]) -> Result<(), Status> {
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

/// Bytes of texts in a slice: one to three milliseconds of tokenizing where most words are of the
/// vocabulary's alphabet, ten times that in the worst case.
const SLICE_BYTES_MAX: usize = 32 << 10;
/// Bytes that a text counts for beside its own: empty texts take time, too.
const TEXT_OVERHEAD_BYTES: usize = 64;

/// Returns texts in parts that take a few milliseconds each to tokenize.
pub(super) fn text_slices(texts: &[&str]) -> Vec<Range<usize>> {
    let costs = texts.iter().map(|text| TEXT_OVERHEAD_BYTES + text.len());
    slices(costs, SLICE_BYTES_MAX)
}
