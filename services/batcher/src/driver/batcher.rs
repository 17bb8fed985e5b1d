//! The handle of a running batcher.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::call::{Call, CallReply, CallTiming};
use super::error::{BuildError, SpawnError};
use super::executor::{Executor, ExecutorFactory};
use super::observer::Observer;
use super::shared::Shared;
use super::worker;
use crate::arrival::Ticket;
use crate::cost::Measurement;
use crate::options::Options;
use crate::refusal::Refusal;
use crate::scheduler::{ExecutorKind, Scheduler};
use crate::stats::Stats;

/// A running batcher: a scheduler, the calls that wait, and a thread for each executor.
///
/// Clones share it; when the last clone is dropped, it drains by itself.
///
/// ```
/// use std::sync::Arc;
///
/// use motet_batcher::{
///     BatchError, Batcher, BuildError, Call, Executor, Flow, Lookahead, NoObserver, Options,
///     Priority, RowError,
/// };
///
/// struct Doubler;
///
/// impl Executor for Doubler {
///     type Row = i32;
///     type Output = i32;
///
///     fn run(&mut self, rows: &[&i32]) -> Result<Vec<Result<i32, RowError>>, BatchError> {
///         Ok(rows.iter().map(|row| Ok(2 * **row)).collect())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let factory = || Ok::<_, BuildError>(Doubler);
/// let batcher =
///     Batcher::spawn("doubler", Options::default(), Arc::new(NoObserver), vec![factory]).await?;
/// let call = Call {
///     // Two rows of one token each.
///     rows: vec![(4, 1), (5, 1)],
///     groups: Vec::new(),
///     deadline: None,
///     priority: Priority::Interactive,
///     flow: Flow::default(),
///     lookahead: Lookahead::default(),
/// };
/// assert_eq!(batcher.submit(call).await?.rows, [Ok(8), Ok(10)]);
/// batcher.drain().await;
/// # Ok(())
/// # }
/// ```
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

/// A call in the queue; dropping it before the answer removes the call.
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
    /// Starts a thread for each factory, builds its executor there and warms it up (see
    /// [`Executor::warm_up`]); returns once all are ready.
    ///
    /// A factory is called again to replace an executor that panicked. `name` is the name of the
    /// model in threads, spans and logs.
    ///
    /// # Errors
    /// Invalid options, no factory, no thread, or an executor that cannot be built; nothing is left
    /// running then.
    pub async fn spawn<E, F>(
        name: &str,
        options: Options,
        observer: Arc<dyn Observer>,
        factories: Vec<F>,
    ) -> Result<Self, SpawnError>
    where
        E: Executor<Row = R, Output = O>,
        F: ExecutorFactory<Executor = E>,
    {
        Self::spawn_with_bulk(name, options, observer, factories, Vec::new()).await
    }

    /// As [`spawn`](Self::spawn), with executors for bulk rows alone, which the others then leave
    /// to them. While one of the others computes, the executors of `bulk` must pause between two
    /// steps of a batch: the batcher starts batches beside theirs.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub async fn spawn_with_bulk<E, F>(
        name: &str,
        options: Options,
        observer: Arc<dyn Observer>,
        factories: Vec<F>,
        bulk: Vec<F>,
    ) -> Result<Self, SpawnError>
    where
        E: Executor<Row = R, Output = O>,
        F: ExecutorFactory<Executor = E>,
    {
        options.validate().map_err(SpawnError::Options)?;
        if factories.is_empty() {
            return Err(SpawnError::NoExecutors);
        }
        let scheduler = Scheduler::new(options.clone(), factories.len());
        let scheduler = scheduler.with_bulk_executors(bulk.len());
        let threads = factories.len() + bulk.len();
        let shared = Arc::new(Shared::new(name.into(), scheduler, observer, threads));
        // From here on, an early return drains the batcher: threads that have started end.
        let batcher = Batcher {
            inner: Arc::new(Inner {
                shared: shared.clone(),
            }),
        };
        let mut starting = Vec::new();
        let general = factories
            .into_iter()
            .map(|factory| (ExecutorKind::General, factory));
        let bulk = bulk
            .into_iter()
            .map(|factory| (ExecutorKind::Bulk, factory));
        for (number, (kind, factory)) in general.chain(bulk).enumerate() {
            let (ready, is_ready) = oneshot::channel();
            let (shared, options, runtime) =
                (shared.clone(), options.clone(), Handle::try_current().ok());
            std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || {
                    // Callers and executors have one clock, even where a test has paused it.
                    let _entered = runtime.as_ref().map(Handle::enter);
                    factory.run_thread(move |factory| {
                        worker::run_thread(&shared, (number, kind), &options, factory, ready);
                    });
                })
                .map_err(|error| SpawnError::Thread(error.to_string()))?;
            starting.push(is_ready);
        }
        let watched = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name(format!("{name}-watchdog"))
            .spawn(move || worker::watch(&watched))
            .map_err(|error| SpawnError::Thread(error.to_string()))?;
        for (executor, is_ready) in starting.into_iter().enumerate() {
            let built = is_ready
                .await
                .unwrap_or_else(|_| Err(BuildError("its thread ended".to_owned())));
            built.map_err(|source| SpawnError::Build { executor, source })?;
        }
        Ok(batcher)
    }

    /// Runs a call. Dropping the future removes the call's rows from the queue. With a deadline, it
    /// needs a tokio runtime with a timer.
    ///
    /// # Errors
    /// [`Refusal`] if the call as a whole has no answer: refused at once, or expired. A row's own
    /// error is in the reply.
    pub async fn submit(&self, call: Call<R>) -> Result<CallReply<O>, Refusal> {
        if call.rows.is_empty() {
            return Ok(CallReply {
                rows: Vec::new(),
                timing: CallTiming::default(),
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
                    return Err(Refusal::DeadlineExceeded);
                }
            },
        };
        admitted.answered = true;
        // The sender is dropped without an answer only if every executor thread is gone.
        answer.unwrap_or_else(|_| {
            Err(Refusal::ExecutorDied {
                reason: "its thread ended".into(),
            })
        })
    }

    /// Sets the cost model from runs that were measured elsewhere.
    pub fn calibrate(&self, measurements: &[Measurement]) {
        self.inner.shared.calibrate(measurements);
    }

    /// Returns totals and the current state.
    pub fn stats(&self) -> Stats {
        self.inner.shared.stats()
    }

    /// The name of the model.
    pub fn name(&self) -> &str {
        &self.inner.shared.name
    }

    /// Stops waiting for further rows: a drain is near, while calls still arrive.
    pub fn hurry(&self) {
        self.inner.shared.hurry();
    }

    /// Refuses new calls; returns once all admitted ones are answered and the executors are
    /// dropped.
    pub async fn drain(&self) {
        self.inner.shared.drain();
        let mut threads = self.inner.shared.threads.subscribe();
        // `shared` owns the sender, so waiting cannot fail.
        let _ = threads.wait_for(|&threads| threads == 0).await;
    }
}
