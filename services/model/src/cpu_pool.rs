//! Threads for work that must not run on the async runtime: reading tensors, tokenizing, scoring,
//! building responses.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use tracing::Span;

/// Maximum threads. Forward passes have threads of their own and need the cores more.
const THREADS_MAX: usize = 4;
/// Maximum jobs that wait or run; further ones are refused.
pub(crate) const JOBS_MAX: usize = 8192;

/// A thread pool for jobs of async callers. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct CpuPool {
    threads: Arc<rayon::ThreadPool>,
    slots: Arc<Semaphore>,
}

/// The result of a job, with the time it took.
#[derive(Debug)]
pub(crate) struct Timed<T> {
    pub(crate) value: T,
    /// Time from the submission to the start.
    pub(crate) waited: Duration,
    /// Time from the start to the end.
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

impl CpuPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system cannot start them.
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

    /// Runs a job within `span` on a thread of the pool; parallel iterators in it use the pool's
    /// other threads. A job whose future is dropped before a thread is free does not run.
    ///
    /// # Errors
    /// [`PoolError::Full`] at the limit of jobs, [`PoolError::Panicked`] if the job panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        span: Span,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Timed<T>, PoolError> {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return Err(PoolError::Full);
        };
        let (sender, receiver) = oneshot::channel();
        let submitted = Instant::now();
        self.threads.spawn(move || {
            let _slot = slot;
            if sender.is_closed() {
                return;
            }
            let result = run(&span, submitted, job);
            drop(span);
            // The caller may have gone away meanwhile.
            let _ = sender.send(result);
        });
        receiver
            .await
            .unwrap_or_else(|_| Err(PoolError::Panicked("the job was lost".to_owned())))
    }
}

/// Runs a short job within `span` on the calling thread, where waking another would take longer.
///
/// # Errors
/// [`PoolError::Panicked`] if the job panics.
pub(crate) fn run_inline<T>(span: &Span, job: impl FnOnce() -> T) -> Result<Timed<T>, PoolError> {
    run(span, Instant::now(), job)
}

fn run<T>(span: &Span, submitted: Instant, job: impl FnOnce() -> T) -> Result<Timed<T>, PoolError> {
    let started = Instant::now();
    let value = span
        .in_scope(|| catch_unwind(AssertUnwindSafe(job)))
        .map_err(|panic| PoolError::Panicked(panic_message(&*panic)))?;
    Ok(Timed {
        value,
        waited: started - submitted,
        ran: started.elapsed(),
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panicking_job_is_an_error_and_the_pool_lives_on() {
        let pool = CpuPool::new().unwrap();
        let failed = pool.run(Span::none(), || panic!("no")).await;
        let failed: Result<Timed<()>, PoolError> = failed;
        assert_eq!(failed.unwrap_err(), PoolError::Panicked("no".to_owned()));
        assert_eq!(pool.run(Span::none(), || 7).await.unwrap().value, 7);
        let failed: Result<Timed<()>, PoolError> = run_inline(&Span::none(), || panic!("nor here"));
        assert_eq!(
            failed.unwrap_err(),
            PoolError::Panicked("nor here".to_owned())
        );
        assert_eq!(run_inline(&Span::none(), || 7).unwrap().value, 7);
    }

    #[tokio::test]
    async fn a_job_whose_caller_left_does_not_run() {
        let pool = CpuPool::new().unwrap();
        // Every thread is occupied, so that the next job has to wait for one.
        let (release, blocker) = blocker();
        let holders: Vec<_> = (0..pool.threads.current_num_threads())
            .map(|_| {
                let (pool, blocker) = (pool.clone(), blocker.clone());
                tokio::spawn(async move {
                    let wait = move || blocker.lock().unwrap().recv().is_err();
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
        drop(release);
        for holder in holders {
            assert!(holder.await.unwrap());
        }
        // The job owned the channel's sender and was dropped without running.
        assert!(has_run.recv().is_err());
    }

    type Blocker = Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>;

    /// Jobs block on the second half until the first is dropped.
    fn blocker() -> (std::sync::mpsc::Sender<()>, Blocker) {
        let (sender, receiver) = std::sync::mpsc::channel();
        (sender, Arc::new(std::sync::Mutex::new(receiver)))
    }
}
