//! The forward pass, as the batcher runs it.

use std::sync::Arc;

use motet_batcher::{BatchError, Executor, RowError};
use motet_models::{EncodeError, RowEmbedding, RowInput, RowOutput, TextEncoder, TokenIds};

use crate::cores::Place;
use crate::trace::CallTrace;

/// A row of a batch.
#[derive(Clone, Debug)]
pub(crate) struct EncodeRow {
    pub(crate) ids: TokenIds,
    pub(crate) output: RowOutput,
    pub(crate) trace: Arc<CallTrace>,
}

/// Owns an encoder on a thread of the batcher.
#[derive(Debug)]
pub(crate) struct EncoderExecutor {
    pub(crate) model: Arc<str>,
    pub(crate) encoder: Arc<TextEncoder>,
    pub(crate) place: Place,
}

impl Executor for EncoderExecutor {
    type Row = EncodeRow;
    type Output = RowEmbedding;

    fn run(
        &mut self,
        rows: &[&EncodeRow],
    ) -> Result<Vec<Result<RowEmbedding, RowError>>, BatchError> {
        let _computing = CallTrace::started(rows.iter().map(|row| &row.trace));
        let tokens: usize = rows.iter().map(|row| row.ids.len()).sum();
        let inputs: Vec<_> = rows
            .iter()
            .map(|row| RowInput {
                ids: row.ids.as_slice(),
                output: row.output,
            })
            .collect();
        let forward =
            tracing::info_span!("forward", model = %self.model, rows = rows.len(), tokens);
        let encoded = forward.in_scope(|| self.place.encode(&self.encoder, &inputs));
        let rows = encoded.map_err(|error| batch_error(&error))?;
        let invalid = |error: motet_models::RowError| RowError::Invalid(error.to_string());
        Ok(rows.into_iter().map(|row| row.map_err(invalid)).collect())
    }
}

/// A device's lack of memory is known by its words alone: the drivers' errors have no common type.
fn batch_error(error: &EncodeError) -> BatchError {
    let text = error.to_string();
    let words = text.to_lowercase().replace('_', " ");
    if words.contains("out of memory") {
        BatchError::OutOfMemory
    } else {
        BatchError::Failed(text)
    }
}
