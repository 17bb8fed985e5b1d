//! Threads for work that must not run on the async runtime: reading tensors, tokenizing, scoring, writing answers.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use tracing::Span;

/// Most threads. The forward passes have threads of their own, and need the processor more.
const THREADS_MAX: usize = 4;
/// Most jobs that wait or run; more are refused.
pub(crate) const JOBS_MAX: usize = 8192;

/// A thread pool that async code hands jobs to. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    threads: Arc<rayon::ThreadPool>,
    slots: Arc<Semaphore>,
}

/// A job's result and the time it took.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub(crate) value: T,
    /// From the request for a thread to the start.
    pub(crate) waited: Duration,
    /// From the start to the end.
    pub(crate) ran: Duration,
}

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PoolError {
    #[error("{JOBS_MAX} jobs already wait for a thread")]
    Full,
    #[error("panicked: {0}")]
    Panicked(String),
}

impl Pool {
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn new() -> Result<Self, rayon::ThreadPoolBuildError> {
        let cores = available_parallelism().map_or(1, usize::from);
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(cores.min(THREADS_MAX))
            .thread_name(|number| format!("motet-cpu-{number}"))
            .build()?;
        Ok(Self {
            threads: Arc::new(threads),
            slots: Arc::new(Semaphore::new(JOBS_MAX)),
        })
    }

    /// Runs a job inside `span`. A job whose future was dropped before a thread was free does not run. Parallel iterators in it
    /// use this pool.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        span: Span,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Done<T>, PoolError> {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return Err(PoolError::Full);
        };
        let (reply, answer) = oneshot::channel();
        let asked = Instant::now();
        self.threads.spawn(move || {
            let _slot = slot;
            if reply.is_closed() {
                return;
            }
            let done = run(&span, asked, job);
            drop(span);
            // Whoever asked may have gone away meanwhile.
            let _ = reply.send(done);
        });
        answer
            .await
            .unwrap_or_else(|_| Err(PoolError::Panicked("the job was lost".to_owned())))
    }
}

/// Runs a short job on this thread, inside `span`: to wake another would take longer.
pub(crate) fn run_here<T>(span: &Span, job: impl FnOnce() -> T) -> Result<Done<T>, PoolError> {
    run(span, Instant::now(), job)
}

/// Runs a job that was asked for then.
fn run<T>(span: &Span, asked: Instant, job: impl FnOnce() -> T) -> Result<Done<T>, PoolError> {
    let started = Instant::now();
    let value = span
        .in_scope(|| catch_unwind(AssertUnwindSafe(job)))
        .map_err(|panic| PoolError::Panicked(message(&*panic)))?;
    Ok(Done {
        value,
        waited: started - asked,
        ran: started.elapsed(),
    })
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_pool_goes_on() {
        let pool = Pool::new().unwrap();
        let failed = pool.run(Span::none(), || panic!("no")).await;
        let failed: Result<Done<()>, PoolError> = failed;
        assert_eq!(failed.unwrap_err(), PoolError::Panicked("no".to_owned()));
        assert_eq!(pool.run(Span::none(), || 7).await.unwrap().value, 7);
        let failed: Result<Done<()>, PoolError> = run_here(&Span::none(), || panic!("nor here"));
        assert_eq!(
            failed.unwrap_err(),
            PoolError::Panicked("nor here".to_owned())
        );
        assert_eq!(run_here(&Span::none(), || 7).unwrap().value, 7);
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_does_not_run() {
        let pool = Pool::new().unwrap();
        // Every thread is held, so that the next job has to wait for one.
        let (let_go, held) = crossing();
        let holders: Vec<_> = (0..pool.threads.current_num_threads())
            .map(|_| {
                let (pool, held) = (pool.clone(), held.clone());
                tokio::spawn(async move {
                    let wait = move || held.lock().unwrap().recv().is_err();
                    pool.run(Span::none(), wait).await.unwrap().value
                })
            })
            .collect();
        while pool.slots.available_permits() > JOBS_MAX - holders.len() {
            tokio::task::yield_now().await;
        }
        let (ran, has_run) = std::sync::mpsc::channel::<()>();
        {
            let abandoned = pool.run(Span::none(), move || ran.send(()));
            let mut abandoned = std::pin::pin!(abandoned);
            assert!(futures::poll!(abandoned.as_mut()).is_pending());
        }
        drop(let_go);
        for holder in holders {
            assert!(holder.await.unwrap());
        }
        // The channel's other end goes with the job.
        assert!(has_run.recv().is_err());
    }

    type Shared = Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>;

    fn crossing() -> (std::sync::mpsc::Sender<()>, Shared) {
        let (sender, receiver) = std::sync::mpsc::channel();
        (sender, Arc::new(std::sync::Mutex::new(receiver)))
    }
}
