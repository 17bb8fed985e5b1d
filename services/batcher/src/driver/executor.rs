//! The owner of a model, as the batcher sees it.

/// Runs batches, on a thread of its own.
///
/// It is made on that thread by its factory and never leaves it, so it need not be `Send`.
pub trait Executor: 'static {
    /// What one caller sends for one answer.
    type Row: Send + Sync + 'static;
    /// The answer to one row.
    type Output: Send + 'static;

    /// Runs one batch: one result for each row, in order.
    ///
    /// # Errors
    /// [`BatchError`] where no row can be answered; the batcher then runs the halves. A row that is at fault alone has its own [`RowError`].
    fn run(
        &mut self,
        rows: &[&Self::Row],
    ) -> Result<Vec<Result<Self::Output, RowError>>, BatchError>;

    /// A row of about `tokens` tokens, to measure the executor with before it serves. `None`: it is not measured.
    fn sample(&self, tokens: u32) -> Option<Self::Row> {
        let _ = tokens;
        None
    }
}

/// Why a whole run failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The device has no room for this batch; a smaller one may fit.
    #[error("the device ran out of memory")]
    OutOfMemory,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Why one row has no output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The row itself is at fault: sending it again does not help.
    #[error("{0}")]
    Invalid(String),
    /// The model failed on this row.
    #[error("the model failed: {0}")]
    Failed(String),
    /// The device has no room even for this row alone.
    #[error(
        "the device ran out of memory on this row alone, of {tokens} tokens; send a shorter one"
    )]
    OutOfMemory {
        /// Tokens of the row.
        tokens: u32,
    },
    /// The executor panicked while it ran the batch that this row was in; a retry may help.
    #[error("the model crashed while it ran this batch: {0}")]
    Crashed(String),
}
