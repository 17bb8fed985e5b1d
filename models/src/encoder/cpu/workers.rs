//! One thread, or all of the pool: the same steps either way.

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
    pub(super) fn for_each_chunk(
        self,
        values: &mut [f32],
        len: usize,
        step: impl Fn(usize, &mut [f32]) + Sync,
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

    /// Threads that share a step.
    pub(super) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::All => rayon::current_num_threads(),
        }
    }
}
