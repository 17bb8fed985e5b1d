//! One thread, or all of the pool: the same steps either way.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;

/// Who computes a group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workers {
    /// This thread alone; the others have groups of their own.
    One,
    /// All threads of the rayon pool, which share every step.
    All,
}

impl Workers {
    /// Calls `step` for each chunk of `len` values with its number.
    pub(super) fn for_each_chunk<T: Send>(
        self,
        values: &mut [T],
        len: usize,
        step: impl Fn(usize, &mut [T]) + Sync,
    ) {
        match self {
            Self::One => values
                .chunks_mut(len)
                .enumerate()
                .for_each(|(at, chunk)| step(at, chunk)),
            Self::All => {
                let batch = BATCH.get();
                let chunks = values.par_chunks_mut(len).enumerate().with_max_len(1);
                chunks.for_each(|(at, chunk)| {
                    BATCH.set(batch);
                    step(at, chunk);
                });
            }
        }
    }

    /// Runs steps that these share. Steps are short: a thread that fell asleep after one would come
    /// too late for the next, so the others stay awake until the last, ready for any work of the
    /// pool.
    pub(super) fn together<T>(self, steps: impl FnOnce() -> T) -> T {
        if self.count() == 1 {
            return steps();
        }
        static BATCHES: AtomicU64 = AtomicU64::new(1);
        let batch = BATCHES.fetch_add(1, Ordering::Relaxed);
        BATCH.set(batch);
        let done = Arc::new(AtomicBool::new(false));
        let end = End(done.clone());
        rayon::spawn_broadcast(move |_| stay_awake(batch, &done));
        let result = steps();
        drop(end);
        // Jobs that were broadcast are queued on this thread, too.
        while rayon::yield_local() == Some(rayon::Yield::Executed) {}
        result
    }

    /// Threads that share a step.
    pub(super) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::All => rayon::current_num_threads(),
        }
    }
}

thread_local! {
    /// The batch that this thread last took part in.
    static BATCH: Cell<u64> = const { Cell::new(0) };
}

/// Says that it is over, also where a step panics.
struct End(Arc<AtomicBool>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Keeps this thread at work for the pool until it is over.
///
/// But not a thread that takes part in the batch already: it may have taken this up while it waits,
/// in the middle of a step, for another thread's share of it, and the batch would wait for that
/// step for ever.
fn stay_awake(batch: u64, done: &AtomicBool) {
    // A job of a batch that is over must not mark a thread that may work on the next batch.
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

    /// A thread that waits in the middle of a step takes up what else there is; here each does in
    /// every step. What ends only after that step must not keep it.
    #[test]
    fn a_thread_in_the_middle_of_a_step_is_not_kept() {
        for threads in 1..6 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                let workers = Workers::All;
                let mut values = vec![0.0; 64];
                for _ in 0..50 {
                    workers.together(|| {
                        for _ in 0..4 {
                            workers.for_each_chunk(&mut values, 16, |_, values| {
                                workers.for_each_chunk(values, 4, |_, values| {
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
    fn steps_are_shared_and_end_also_by_a_panic() {
        for threads in 1..4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                let workers = Workers::All;
                let mut values = vec![0.0; 100];
                let count = workers.together(|| {
                    for _ in 0..50 {
                        workers.for_each_chunk(&mut values, 7, |at, chunk| {
                            chunk.iter_mut().for_each(|x| *x += at as f32);
                        });
                    }
                    workers.count()
                });
                assert_eq!((count, values[0], values[99]), (threads, 0.0, 700.0));
                let panicking = || workers.together(|| panic!("as it was meant to"));
                assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
            });
        }
    }
}
