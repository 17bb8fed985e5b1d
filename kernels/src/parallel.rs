//! A step of a computation by one thread or by all threads of the pool.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;

/// Threads that compute a group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parallelism {
    /// The calling thread alone; the others have groups of their own.
    WithinThread,
    /// All threads of the current rayon pool, which share every step.
    AcrossThreads,
}

impl Parallelism {
    /// Calls `step` for each chunk of `len` values with the chunk's number.
    pub fn for_each_chunk<T: Send>(
        self,
        values: &mut [T],
        len: usize,
        step: impl Fn(usize, &mut [T]) + Sync,
    ) {
        match self {
            Self::WithinThread => values
                .chunks_mut(len)
                .enumerate()
                .for_each(|(at, chunk)| step(at, chunk)),
            Self::AcrossThreads => {
                let batch = BATCH.get();
                let chunks = values.par_chunks_mut(len).enumerate().with_max_len(1);
                chunks.for_each(|(at, chunk)| {
                    BATCH.set(batch);
                    step(at, chunk);
                });
            }
        }
    }

    /// Runs steps that the threads share. Steps are short: a thread that fell asleep after one
    /// would be late for the next, so the others spin until the last, ready for any job of the
    /// pool.
    pub fn with_spinning_helpers<T>(self, steps: impl FnOnce() -> T) -> T {
        if self.count() == 1 {
            return steps();
        }
        let ends = EndSpinning;
        start_spinning();
        let result = steps();
        drop(ends);
        result
    }

    /// Runs `pause` between two steps of [`with_spinning_helpers`](Self::with_spinning_helpers), on
    /// the thread that runs them. Meanwhile the others sleep.
    pub fn without_spinning_helpers(self, pause: impl FnOnce()) {
        let were_spinning = SPINNING.with_borrow(Option::is_some);
        end_spinning();
        pause();
        if were_spinning {
            start_spinning();
        }
    }

    /// Returns the number of parts that each of `chunks` equal chunks of a step is cut into, as few
    /// as can be, so that threads are busy for nine tenths of the step.
    pub(crate) fn parts(self, chunks: usize) -> usize {
        let threads = self.count();
        let busy = |parts: &usize| {
            let jobs = chunks * parts;
            10 * jobs >= 9 * jobs.next_multiple_of(threads)
        };
        (1..threads).find(busy).unwrap_or(threads)
    }

    /// Number of threads that share a step.
    pub fn count(self) -> usize {
        match self {
            Self::WithinThread => 1,
            Self::AcrossThreads => rayon::current_num_threads(),
        }
    }
}

thread_local! {
    /// The batch that this thread last took part in.
    static BATCH: Cell<u64> = const { Cell::new(0) };
    /// The flag that ends the spinning which this thread has started.
    static SPINNING: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Has all threads of the current pool but this one spin.
fn start_spinning() {
    static BATCHES: AtomicU64 = AtomicU64::new(1);
    let batch = BATCHES.fetch_add(1, Ordering::Relaxed);
    BATCH.set(batch);
    let done = Arc::new(AtomicBool::new(false));
    SPINNING.set(Some(done.clone()));
    rayon::spawn_broadcast(move |_| spin(batch, &done));
}

/// Ends what this thread has started, if it has.
fn end_spinning() {
    let Some(done) = SPINNING.take() else { return };
    done.store(true, Ordering::Relaxed);
    // Jobs that were broadcast are queued on this thread, too.
    while rayon::yield_local() == Some(rayon::Yield::Executed) {}
}

/// Ends the spinning when the steps have ended, also by a panic.
struct EndSpinning;

impl Drop for EndSpinning {
    fn drop(&mut self) {
        end_spinning();
    }
}

/// Keeps this thread ready for jobs of the pool until the batch is done.
///
/// But not a thread that takes part in the batch already: it may have taken this job while it
/// waits, in the middle of a step, for another thread's share of it, and the batch would wait for
/// that step for ever.
fn spin(batch: u64, done: &AtomicBool) {
    // Do not overwrite BATCH for a batch that has ended: this thread may already belong to the
    // next.
    if done.load(Ordering::Relaxed) || BATCH.replace(batch) == batch {
        return;
    }
    while !done.load(Ordering::Relaxed) {
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn chunks_are_cut_into_as_few_parts_as_keep_threads_busy() {
        for (threads, chunks, parts) in [
            (1, 1, 1),
            (1, 7, 1),
            (2, 1, 2),
            (2, 6, 1),
            (2, 5, 2),
            (3, 6, 1),
            (16, 6, 5),
            (16, 24, 2),
            (16, 1, 15),
            (16, 100, 2),
        ] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let found = pool
                .unwrap()
                .install(|| Parallelism::AcrossThreads.parts(chunks));
            assert_eq!(found, parts, "{chunks} chunks on {threads} threads");
            assert_eq!(Parallelism::WithinThread.parts(chunks), 1);
        }
    }

    /// A thread that waits in the middle of a step takes up other jobs; here each does in every
    /// step. A job that ends only after that step must not keep it.
    #[test]
    fn a_thread_in_the_middle_of_a_step_does_not_spin() {
        for threads in 1..6 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                let parallelism = Parallelism::AcrossThreads;
                let mut values = vec![0.0; 64];
                for _ in 0..50 {
                    parallelism.with_spinning_helpers(|| {
                        for _ in 0..4 {
                            parallelism.for_each_chunk(&mut values, 16, |_, values| {
                                parallelism.for_each_chunk(values, 4, |_, values| {
                                    rayon::yield_now();
                                    values.iter_mut().for_each(|x| *x += 1.0);
                                });
                            });
                        }
                    });
                }
                assert!(values.iter().all(|x| *x == 200.0));
            });
        }
    }

    #[test]
    fn helpers_share_steps_and_are_released_by_a_panic_too() {
        for threads in 1..4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                let parallelism = Parallelism::AcrossThreads;
                let mut values = vec![0.0; 100];
                let count = parallelism.with_spinning_helpers(|| {
                    for _ in 0..50 {
                        parallelism.for_each_chunk(&mut values, 7, |at, chunk| {
                            chunk.iter_mut().for_each(|x| *x += at as f32);
                        });
                    }
                    parallelism.count()
                });
                assert_eq!((count, values[0], values[99]), (threads, 0.0, 700.0));
                // In a pause the others serve jobs of the pool, and spin again after it.
                let in_pool = parallelism.with_spinning_helpers(|| {
                    let mut in_pool = 0;
                    parallelism.without_spinning_helpers(|| {
                        in_pool = rayon::broadcast(|_| 1).into_iter().sum();
                    });
                    parallelism.for_each_chunk(&mut values, 7, |_, chunk| chunk.fill(1.0));
                    assert!(SPINNING.with_borrow(Option::is_some) == (threads > 1));
                    in_pool
                });
                assert_eq!((in_pool, values[0], values[99]), (threads, 1.0, 1.0));
                parallelism.without_spinning_helpers(|| {});
                assert!(SPINNING.with_borrow(Option::is_none));
                let panicking =
                    || parallelism.with_spinning_helpers(|| panic!("as it was meant to"));
                assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
            });
        }
    }
}
