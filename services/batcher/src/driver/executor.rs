//! The executor of batches, which owns a model.

use super::calibration::measure;
use super::error::BuildError;
use crate::cost::Measurement;
use crate::options::Options;

/// Runs batches on a thread of its own.
///
/// Its factory creates it on that thread and it never leaves the thread, so it need not be `Send`.
pub trait Executor: 'static {
    /// The input of one row.
    type Row: Send + Sync + 'static;
    /// The output of one row.
    type Output: Send + 'static;

    /// Runs one batch; returns one result for each row, in order.
    ///
    /// # Errors
    /// [`BatchError`] if no row can be answered; the batcher then runs the halves. A row that is at
    /// fault alone has its own [`RowError`].
    fn run(
        &mut self,
        rows: &[&Self::Row],
    ) -> Result<Vec<Result<Self::Output, RowError>>, BatchError>;

    /// Returns a row of about `tokens` tokens, to measure the executor with before it serves, and
    /// the tokens that it has; `None` if it is not to be measured.
    fn sample(&self, tokens: u32) -> Option<(Self::Row, u32)> {
        let _ = tokens;
        None
    }

    /// Prepares the executor to serve: it runs on its thread until memory is allocated and caches
    /// are warm. Returns timed runs, from which the batcher learns the cost of a batch; by default
    /// those of [`measure`]. An executor that shares a model with others may return their runs
    /// instead.
    ///
    /// # Errors
    /// [`BatchError`] if the executor cannot run at all; it then counts as not built.
    fn warm_up(&mut self, options: &Options) -> Result<Vec<Measurement>, BatchError>
    where
        Self: Sized,
    {
        Ok(measure(self, options))
    }
}

/// Builds the executor of one thread, and another one after a panic. A closure that returns an
/// executor is a factory.
pub trait ExecutorFactory: Send + Sized + 'static {
    /// The executor.
    type Executor: Executor;

    /// Builds an executor, which belongs to the calling thread.
    ///
    /// # Errors
    /// [`BuildError`] with the reason.
    fn build(&mut self) -> Result<Self::Executor, BuildError>;

    /// Runs on a new thread before anything is built there, and calls `body` on that thread: all
    /// that the thread does for the batcher. An executor that computes with a pool of threads, of
    /// which its own is to be one, enters the pool here and leaves it when `body` has returned.
    fn run_thread(self, body: impl FnOnce(Self) + Send + 'static) {
        body(self);
    }
}

impl<E, F> ExecutorFactory for F
where
    E: Executor,
    F: FnMut() -> Result<E, BuildError> + Send + 'static,
{
    type Executor = E;

    fn build(&mut self) -> Result<E, BuildError> {
        self()
    }
}

/// The error of a run as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The device has too little memory for this batch; a smaller one may fit.
    #[error("the device ran out of memory")]
    OutOfMemory,
    /// The device is gone, in its driver's words. The rows are answered with this, and the executor
    /// is built and warmed up again, as after a panic: where that fails, it is gone, too.
    #[error("the device is lost: {0}")]
    DeviceLost(String),
    /// Any other error.
    #[error("{0}")]
    Failed(String),
}

/// The error of one row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The row itself is at fault: a retry does not help.
    #[error("{0}")]
    Invalid(String),
    /// The model failed on this row.
    #[error("the model failed: {0}")]
    Failed(String),
    /// The model's result for this row is no number that can be used: infinite, or none (NaN).
    #[error("the model's result for this row is not finite")]
    NotFinite,
    /// The device has too little memory even for this row alone.
    #[error(
        "the device ran out of memory on this row alone, of {tokens} tokens; send a shorter one"
    )]
    OutOfMemory {
        /// Tokens of the row.
        tokens: u32,
    },
    /// The device was lost while it ran the row's batch; its driver's words.
    #[error("the device is lost: {0}")]
    DeviceLost(String),
    /// The executor panicked while it ran the row's batch; a retry may help.
    #[error("the model crashed while it ran this batch: {0}")]
    Crashed(String),
}
