//! Texts to token ids before the batcher, vectors to tensors after it.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use motet_models::{PairError, TokenIds, Tokenizer, Values};
use motet_proto::TensorError;
use motet_runtime::status::{Reason, invalid_argument, resource_exhausted};
use tonic::Status;

use super::EncoderTask;
use super::encoder_task::RowText;
use crate::cpu_pool::slices;
use crate::limits::Limits;
use crate::request::{Inputs, Outputs};

/// Texts to token ids, vectors to tensors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct TextCodec {
    pub(crate) task: Arc<dyn EncoderTask>,
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
        let texts = self.task.rows(inputs).into_iter().flat_map(RowText::texts);
        texts.map(|text| self.tokenizer.cost(text)).sum()
    }

    /// Returns the rows in parts that take a few milliseconds each to tokenize.
    pub(super) fn slices(&self, inputs: &Inputs) -> Vec<Range<usize>> {
        row_slices(self.task.rows(inputs).into_iter().map(RowText::texts))
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
    /// INVALID_ARGUMENT for a text that the tokenizer refuses, or a pair whose first text leaves no
    /// room for the second.
    pub(super) fn tokenize_slice(
        &self,
        inputs: &Inputs,
        slice: Range<usize>,
    ) -> Result<Vec<TokenIds>, Status> {
        let rows = self.task.rows(inputs).into_iter().enumerate();
        let rows = rows.skip(slice.start).take(slice.len());
        let invalid =
            |field: String, error: &dyn Display| invalid_argument(field, error.to_string()).build();
        let encode = |(row, text): (usize, RowText<'_>)| match text {
            RowText::One(text) => self
                .tokenizer
                .encode_within(text, self.max_tokens)
                .map_err(|error| invalid(self.task.field(row), &error)),
            RowText::Pair(first, second) => self
                .tokenizer
                .encode_pair(first, second, self.max_tokens)
                .map_err(|error| match error {
                    PairError::FirstTooLong { .. } => invalid(self.task.first_field(row), &error),
                    _ => invalid(self.task.field(row), &error),
                }),
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

/// Returns rows of texts in parts that take a few milliseconds each to tokenize.
pub(super) fn row_slices<'t, T>(rows: impl Iterator<Item = T>) -> Vec<Range<usize>>
where
    T: IntoIterator<Item = &'t str>,
{
    let cost = |texts: T| {
        let texts = texts.into_iter();
        texts.map(|text| TEXT_OVERHEAD_BYTES + text.len()).sum()
    };
    slices(rows.map(cost), SLICE_BYTES_MAX)
}
