//! The batcher that runs: a scheduler, the calls that wait for answers, and a thread for each executor.

mod calibration;
mod call;
mod executor;
mod handover;
#[cfg(test)]
mod interleavings;
mod observer;
mod refused;
mod shared;
mod state;
mod sync;
mod worker;

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use call::{Call, CallReply, Ride};
pub use executor::{BatchError, Executor, RowError};
pub use observer::{BatchRan, Event, NoObserver, Observer};
pub use refused::Refused;

use crate::{Measurement, OptionProblem, Options, Scheduler, Stats, Ticket};
use shared::Shared;

/// Why a batcher could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpawnError {
    /// Options that cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Options(Vec<OptionProblem>),
    /// No factory was given.
    #[error("a batcher needs at least one executor")]
    NoExecutors,
    /// The system gave no thread.
    #[error("no thread for an executor: {0}")]
    Thread(String),
    /// An executor could not be built.
    #[error("executor {executor} could not be built: {source}")]
    Build {
        /// Its place among the factories.
        executor: usize,
        /// Why.
        source: BuildError,
    },
}

/// Why an executor could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);

/// A running batcher. Cheap to clone; when the last clone is dropped it drains by itself.
pub struct Batcher<R: Send + Sync + 'static, O: Send + 'static> {
    inner: Arc<Inner<R, O>>,
}

impl<R: Send + Sync + 'static, O: Send + 'static> Clone for Batcher<R, O> {
    fn clone(&self) -> Self {
        Batcher {
            inner: self.inner.clone(),
        }
    }
}

impl<R: Send + Sync + 'static, O: Send + 'static> std::fmt::Debug for Batcher<R, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher")
            .field("name", &self.inner.shared.name)
            .finish_non_exhaustive()
    }
}

struct Inner<R: Send + Sync + 'static, O: Send + 'static> {
    shared: Arc<Shared<R, O>>,
}

impl<R: Send + Sync + 'static, O: Send + 'static> Drop for Inner<R, O> {
    fn drop(&mut self) {
        self.shared.drain();
    }
}

/// A call in the queue; whoever drops it before the answer takes it out.
struct Admitted<R: Send + Sync + 'static, O: Send + 'static> {
    shared: Arc<Shared<R, O>>,
    ticket: Ticket,
    answered: bool,
}

impl<R: Send + Sync + 'static, O: Send + 'static> Drop for Admitted<R, O> {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.forget(&self.ticket, false);
        }
    }
}

impl<R: Send + Sync + 'static, O: Send + 'static> Batcher<R, O> {
    /// Starts a thread for each factory, which builds its executor there and measures it (see [`Executor::sample`]); returns once all are ready.
    ///
    /// A factory is called again to replace an executor that panicked. `name` is the model's, for threads, spans and logs.
    ///
    /// # Errors
    /// Options out of range, no factory, no thread, or an executor that cannot be built; nothing is left running then.
    pub async fn spawn<E, F>(
        name: &str,
        options: Options,
        observer: Arc<dyn Observer>,
        factories: Vec<F>,
    ) -> Result<Self, SpawnError>
    where
        E: Executor<Row = R, Output = O>,
        F: FnMut() -> Result<E, BuildError> + Send + 'static,
    {
        options.validate().map_err(SpawnError::Options)?;
        if factories.is_empty() {
            return Err(SpawnError::NoExecutors);
        }
        let scheduler = Scheduler::new(options.clone(), factories.len());
        let shared = Arc::new(Shared::new(
            name.into(),
            scheduler,
            observer,
            factories.len(),
        ));
        // From here on, leaving early drains: threads that started end by themselves.
        let batcher = Batcher {
            inner: Arc::new(Inner {
                shared: shared.clone(),
            }),
        };
        let mut starting = Vec::new();
        for (number, factory) in factories.into_iter().enumerate() {
            let (ready, is_ready) = oneshot::channel();
            let (shared, options, runtime) =
                (shared.clone(), options.clone(), Handle::try_current().ok());
            std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || {
                    // One clock for callers and executors, also where a test has paused it.
                    let _entered = runtime.as_ref().map(Handle::enter);
                    worker::work(&shared, number, &options, factory, ready);
                })
                .map_err(|error| SpawnError::Thread(error.to_string()))?;
            starting.push(is_ready);
        }
        for (executor, is_ready) in starting.into_iter().enumerate() {
            let built = is_ready
                .await
                .unwrap_or_else(|_| Err(BuildError("its thread ended".to_owned())));
            built.map_err(|source| SpawnError::Build { executor, source })?;
        }
        Ok(batcher)
    }

    /// Runs a call; needs a tokio runtime with a timer where there is a deadline. Dropping the future takes the call's rows out of the queue.
    ///
    /// # Errors
    /// [`Refused`] where the call as a whole has no answer: refused at once, or expired. A row's own error is in the reply.
    pub async fn submit(&self, call: Call<R>) -> Result<CallReply<O>, Refused> {
        if call.rows.is_empty() {
            return Ok(CallReply {
                rows: Vec::new(),
                ride: Ride::default(),
            });
        }
        let shared = self.inner.shared.clone();
        let (ticket, receiver) = shared.admit(call)?;
        let deadline = ticket
            .deadline
            .and_then(|deadline| shared.instant(deadline));
        let mut admitted = Admitted {
            shared,
            ticket,
            answered: false,
        };
        let answer = match deadline {
            None => receiver.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, receiver).await {
                Ok(answer) => answer,
                Err(_) => {
                    admitted.answered = true;
                    admitted.shared.forget(&admitted.ticket, true);
                    return Err(Refused::DeadlineExceeded);
                }
            },
        };
        admitted.answered = true;
        // The sender is dropped unanswered only if every executor thread is gone.
        answer.unwrap_or_else(|_| {
            Err(Refused::ExecutorDied {
                reason: "its thread ended".to_owned(),
            })
        })
    }

    /// Teaches the cost model runs that were measured elsewhere.
    pub fn calibrate(&self, measurements: &[Measurement]) {
        self.inner.shared.calibrate(measurements);
    }

    /// Totals and current state.
    pub fn stats(&self) -> Stats {
        self.inner.shared.stats()
    }

    /// Name of the model.
    pub fn name(&self) -> &str {
        &self.inner.shared.name
    }

    /// From now on nothing waits for company: a drain is near, and calls are still on their way here.
    pub fn hurry(&self) {
        self.inner.shared.hurry();
    }

    /// Refuses new calls, and returns once all admitted ones are answered and the executors are dropped.
    pub async fn drain(&self) {
        self.inner.shared.drain();
        let mut threads = self.inner.shared.threads.subscribe();
        // The sender lives in `shared`, so waiting cannot fail.
        let _ = threads.wait_for(|&threads| threads == 0).await;
    }
}
