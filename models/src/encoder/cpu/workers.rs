//! One thread, or all of the pool: the same steps either way.

use std::sync::atomic::{AtomicBool, Ordering};

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
            Self::All => values
                .par_chunks_mut(len)
                .enumerate()
                .with_max_len(1)
                .for_each(|(at, chunk)| step(at, chunk)),
        }
    }

    /// Runs steps that these share. Steps are short: a thread that fell asleep after one would come too late for the next, so the
    /// others stay awake until the last, ready for any work of the pool.
    pub(super) fn together<T: Send>(self, steps: impl FnOnce() -> T + Send) -> T {
        let done = AtomicBool::new(false);
        let work = || {
            let _end = End(&done);
            steps()
        };
        match self {
            Self::One => work(),
            Self::All => rayon::join(work, || stay_awake(self.count() - 1, &done)).0,
        }
    }

    /// Threads that share a step.
    pub(super) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::All => rayon::current_num_threads(),
        }
    }
}

/// Says that it is over, also where a step panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Keeps so many threads at work for the pool until it is over.
fn stay_awake(threads: usize, done: &AtomicBool) {
    let stay = || {
        while !done.load(Ordering::Relaxed) {
            if rayon::yield_now() != Some(rayon::Yield::Executed) {
                std::hint::spin_loop();
            }
        }
    };
    match threads {
        0 => {}
        1 => stay(),
        _ => {
            rayon::join(stay, || stay_awake(threads - 1, done));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

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
