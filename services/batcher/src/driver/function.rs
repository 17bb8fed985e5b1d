//! Functions as executors, and calls of one row.

use std::marker::PhantomData;
use std::sync::Arc;

use super::batcher::Batcher;
use super::call::Call;
use super::error::SpawnError;
use super::executor::{BatchError, Executor, RowError};
use super::observer::NoObserver;
use crate::options::Options;
use crate::refusal::Refusal;

/// An executor that is a function from rows to their outputs; see [`from_fn`].
pub struct FnExecutor<R, O, F> {
    function: F,
    rows: PhantomData<fn(&R) -> O>,
}

/// Makes an executor of a function that returns one output for each row, in order. A row that may
/// fail has a [`Result`] as its output.
///
/// A model with state of its own, with rows of its own length, or with batches that may fail
/// implements [`Executor`].
///
/// ```
/// use motet_batcher::{Executor, from_fn};
///
/// let mut doubler = from_fn(|rows: &[&i32]| rows.iter().map(|row| 2 * **row).collect());
/// assert_eq!(doubler.run(&[&4, &5]), Ok(vec![Ok(8), Ok(10)]));
/// ```
pub fn from_fn<R, O, F>(function: F) -> FnExecutor<R, O, F>
where
    R: Send + Sync + 'static,
    O: Send + 'static,
    F: FnMut(&[&R]) -> Vec<O> + 'static,
{
    FnExecutor {
        function,
        rows: PhantomData,
    }
}

impl<R, O, F> std::fmt::Debug for FnExecutor<R, O, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FnExecutor").finish_non_exhaustive()
    }
}

impl<R, O, F> Executor for FnExecutor<R, O, F>
where
    R: Send + Sync + 'static,
    O: Send + 'static,
    F: FnMut(&[&R]) -> Vec<O> + 'static,
{
    type Row = R;
    type Output = O;

    fn run(&mut self, rows: &[&R]) -> Result<Vec<Result<O, RowError>>, BatchError> {
        let outputs = (self.function)(rows);
        if outputs.len() != rows.len() {
            let (rows, outputs) = (rows.len(), outputs.len());
            let message = format!("the function returned {outputs} outputs for {rows} rows");
            return Err(BatchError::Failed(message));
        }
        Ok(outputs.into_iter().map(Ok).collect())
    }
}

/// The reason for which a call of one row has no output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The row was not run.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The row was run, and failed.
    #[error(transparent)]
    Failed(#[from] RowError),
}

impl<R: Send + Sync + 'static, O: Send + 'static> Batcher<R, O> {
    /// Starts a thread that runs batches by a function (see [`from_fn`]), without an observer.
    /// After a panic the thread goes on with a clone of the function as it was given.
    ///
    /// ```
    /// use motet_batcher::{Batcher, Options};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let double = |rows: &[&i32]| rows.iter().map(|row| 2 * **row).collect();
    /// let batcher = Batcher::spawn_fn("doubler", Options::default(), double).await?;
    /// assert_eq!(batcher.run(21, 1).await, Ok(42));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Invalid options, or no thread.
    pub async fn spawn_fn<F>(name: &str, options: Options, function: F) -> Result<Self, SpawnError>
    where
        F: FnMut(&[&R]) -> Vec<O> + Clone + Send + 'static,
    {
        let factory = move || Ok(from_fn(function.clone()));
        Self::spawn(name, options, Arc::new(NoObserver), vec![factory]).await
    }

    /// Runs one row of this many tokens, as [`submit`](Self::submit) runs a call with the default
    /// deadline, priority and flow. Where all rows cost the same, each has one token.
    ///
    /// # Errors
    /// [`RunError::Refused`] if the row was not run, [`RunError::Failed`] if it has no output.
    pub async fn run(&self, row: R, tokens: u32) -> Result<O, RunError> {
        let reply = self.submit(Call::new(vec![(row, tokens)])).await?;
        let no_answer = || RowError::Failed("the executor gave no answer".to_owned());
        let output = reply.rows.into_iter().next();
        Ok(output.unwrap_or_else(|| Err(no_answer()))?)
    }
}
