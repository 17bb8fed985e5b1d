//! Threads for work that must not run on the async runtime: reading tensors, tokenizing, scoring,
//! building responses.
//!
//! Jobs take [turns](motet_runtime::turns) by the machine that they come from: whoever sends much
//! waits for its own jobs. Work that grows with the call is cut into [slices](slices) of a few
//! milliseconds, each a job, so that a turn is short.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use motet_runtime::flow::Flow;
use motet_runtime::turns::Turns;
use motet_runtime::usage::Usage;
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
    turns: Arc<Mutex<Turns<Job>>>,
    slots: Arc<Semaphore>,
}

/// A job that waits for its turn.
struct Job {
    machine: u64,
    /// Runs it. Returns the time that counts against its machine.
    run: Box<dyn FnOnce() -> Duration + Send>,
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
            turns: Arc::new(Mutex::new(Turns::new(threads.current_num_threads()))),
            threads: Arc::new(threads),
            slots: Arc::new(Semaphore::new(JOBS_MAX)),
        })
    }

    /// Runs a job within `span` on a thread of the pool, when the turn of the call's machine comes;
    /// parallel iterators in it use the pool's other threads. A job whose future is dropped before
    /// its turn does not run.
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
        let usage = Usage::current();
        let run = move || {
            let _slot = slot;
            if sender.is_closed() {
                return Duration::ZERO;
            }
            let started = Instant::now();
            let result = run(&span, submitted, job);
            drop(span);
            let ran = started.elapsed();
            let charged = usage.map_or(ran, |usage| {
                usage.add_pool(ran);
                ran.saturating_add(usage.charge_runtime())
            });
            // The caller may have gone away meanwhile.
            let _ = sender.send(result);
            charged
        };
        let machine = Flow::current().machine();
        let run = Box::new(run);
        let next = self.turns().ask(machine, Job { machine, run });
        self.start(next);
        receiver
            .await
            .unwrap_or_else(|_| Err(PoolError::Panicked("the job was lost".to_owned())))
    }

    /// Runs `job` for each slice of a call, as jobs of their own, as many at a time as there are
    /// threads. Returns the results in order, with the time from the first submission to the last
    /// end as [`Timed::ran`]. The first slice that fails ends the call.
    ///
    /// # Errors
    /// As [`run`](Self::run), and what `job` returns.
    pub(crate) async fn run_slices<T, E>(
        &self,
        span: Span,
        slices: Vec<Range<usize>>,
        job: impl Fn(Range<usize>) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<Result<Timed<Vec<T>>, E>, PoolError>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let started = Instant::now();
        let jobs = slices.into_iter().map(|slice| {
            let (job, span) = (job.clone(), span.clone());
            async move {
                let timed = self.run(span, move || job(slice)).await;
                timed
                    .map_err(SliceError::Pool)?
                    .value
                    .map_err(SliceError::Job)
            }
        });
        let at_a_time = self.threads.current_num_threads();
        let results = stream::iter(jobs).buffered(at_a_time).try_collect().await;
        match results {
            Ok(value) => Ok(Ok(Timed {
                value,
                waited: Duration::ZERO,
                ran: started.elapsed(),
            })),
            Err(SliceError::Job(error)) => Ok(Err(error)),
            Err(SliceError::Pool(error)) => Err(error),
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns<Job>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a job whose turn it is on a thread of the pool, and after it those whose turn it is
    /// then.
    fn start(&self, next: Option<Job>) {
        let Some(first) = next else { return };
        let pool = self.clone();
        self.threads.spawn(move || {
            let mut next = Some(first);
            while let Some(Job { machine, run }) = next {
                let charged = run();
                let nanos = u64::try_from(charged.as_nanos()).unwrap_or(u64::MAX);
                next = pool.turns().end(machine, nanos);
            }
        });
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

/// Why a slice has no result.
enum SliceError<E> {
    Pool(PoolError),
    Job(E),
}

/// Returns ranges of the items with these costs, one after the other, each of at most `cost_max` or
/// of one item; a single empty range where there are no items.
pub(crate) fn slices(costs: impl IntoIterator<Item = usize>, cost_max: usize) -> Vec<Range<usize>> {
    let mut slices = Vec::new();
    let (mut start, mut end, mut sum) = (0, 0, 0usize);
    for cost in costs {
        if end > start && sum.saturating_add(cost) > cost_max {
            slices.push(start..end);
            (start, sum) = (end, 0);
        }
        end += 1;
        sum = sum.saturating_add(cost);
    }
    slices.push(start..end);
    slices
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
mod tests;
