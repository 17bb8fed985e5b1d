//! Rows computed: asked for, and written as lines.

use std::io;
use std::sync::Arc;

use motet_rows::{
    Answer, Binding, Code, Failure, NoAnswer, Pipeline, RetryPolicy, RowError, answer,
};
use serde_json::Map;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::BatchError;
use crate::gate::Gate;
use crate::ids::hash;
use crate::output::{Done, Lines};
use crate::progress::Progress;
use crate::reading::Item;
use crate::settings::ErrorPlace;

/// Means by which rows are computed.
pub(crate) struct OfRows<P> {
    pub(crate) pipeline: Arc<P>,
    pub(crate) binding: Binding,
    pub(crate) lines: Lines,
    pub(crate) errors: ErrorPlace,
    pub(crate) gate: Gate,
    pub(crate) retry: RetryPolicy,
    pub(crate) progress: Arc<Progress>,
}

/// A row, as it is written.
pub(crate) struct Computed {
    pub(crate) unit: usize,
    pub(crate) number: u64,
    /// Hash of its id, if it has one.
    pub(crate) id: Option<u64>,
    pub(crate) is_last: bool,
    pub(crate) line: Vec<u8>,
    pub(crate) whole: Vec<u8>,
    pub(crate) is_error: bool,
    /// Until it is written.
    _held: OwnedSemaphorePermit,
}

impl<P: Pipeline> OfRows<P> {
    /// Computes a row.
    ///
    /// # Errors
    /// The end of the batch.
    pub(crate) async fn compute(&self, item: Item) -> Result<Computed, BatchError> {
        let (values, answered) = match item.row.row {
            Err((values, failure)) => (values, Err(failure.after(0))),
            Ok(row) => {
                let answered = match self.binding.inputs(&row) {
                    Ok(inputs) => self.answer(&inputs).await?,
                    Err(failure) => Err(failure.after(0)),
                };
                (row.values, answered)
            }
        };
        let line = |answer: Result<&Answer, &RowError>| {
            self.lines.line(&Done {
                values: &values,
                number: item.number,
                answer,
            })
        };
        let failed = |error: io::Error| BatchError::cannot(error.to_string());
        let mut text = Vec::new();
        let answered = match answered {
            Ok(answer) => match line(Ok(&answer)) {
                Ok(written) => {
                    text = written;
                    Ok(answer)
                }
                // A value that the table cannot have.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    Err(Failure::new(Code::InvalidArgument, error.to_string()).after(0))
                }
                Err(error) => return Err(failed(error)),
            },
            Err(error) => Err(error),
        };
        let mut whole = Vec::new();
        if let Err(error) = &answered {
            match self.errors {
                ErrorPlace::File => whole = self.lines.whole(&values, error).map_err(failed)?,
                ErrorPlace::Rows => text = line(Err(error)).map_err(failed)?,
            }
        }
        match &answered {
            Ok(answer) => self
                .progress
                .answered(!answer.degraded.is_empty(), answer.tokens),
            Err(_) => self.progress.failed(),
        }
        Ok(Computed {
            unit: item.unit,
            number: item.number,
            id: self.lines.id().and_then(|id| hash(values.get(id)?)),
            is_last: item.is_last,
            line: text,
            whole,
            is_error: answered.is_err(),
            _held: item.held,
        })
    }

    async fn answer(
        &self,
        inputs: &Map<String, serde_json::Value>,
    ) -> Result<Result<Answer, RowError>, BatchError> {
        let _place = self.gate.enter().await;
        let mut failures = 0u32;
        let begun = tokio::time::Instant::now();
        let failed = |failure: &Failure, latency| {
            failures += 1;
            self.progress.call_failed();
            self.gate.failed(failure, latency);
        };
        let answered = answer(&*self.pipeline, inputs, &self.retry, fastrand::f64, failed).await;
        match answered {
            Ok(answer) => {
                if failures == 0 {
                    self.gate.answered(begun.elapsed());
                }
                Ok(Ok(answer))
            }
            Err(NoAnswer::Row(error)) => Ok(Err(error)),
            Err(NoAnswer::Away(failure)) => Err(BatchError::try_again(format!(
                "no answer within {:?} of trying: {failure}",
                self.retry.budget
            ))),
            Err(NoAnswer::Refused(failure)) => Err(BatchError::cannot(format!(
                "the server refuses calls: {failure}"
            ))),
        }
    }
}
