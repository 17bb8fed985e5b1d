//! Who computes on the processor's cores, and when.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use motet_models::{
    EncodeError, RowEmbedding, RowError, RowInput, TextEncoder, Threads, ThreadsError,
};

/// The cores that the process may use, lent to batches in the order of their asking: threads of several batches on one core
/// would push each other off it in the middle of a step for which others wait. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Cores(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: usize,
    state: Mutex<State>,
    /// Somebody's turn has come, or cores are free again.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Numbers that were drawn.
    drawn: u64,
    /// The number whose turn it is.
    turn: u64,
}

impl Default for Cores {
    /// As many as the process may use, which cgroups limit.
    fn default() -> Self {
        Self::new(available_parallelism().map_or(1, usize::from))
    }
}

impl Cores {
    fn new(all: usize) -> Self {
        let state = State {
            free: all,
            drawn: 0,
            turn: 0,
        };
        Self(Arc::new(Inner {
            all,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.all
    }

    /// Blocks until so many are free, or all if there are no more; they are free again when what is returned is dropped.
    fn lend(&self, count: usize) -> Lent<'_> {
        let count = count.min(self.0.all);
        let mut state = self.lock();
        let number = state.drawn;
        state.drawn += 1;
        while state.turn != number || state.free < count {
            let changed = self.0.changed.wait(state);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.free -= count;
        drop(state);
        self.0.changed.notify_all();
        Lent { cores: self, count }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cores in use.
struct Lent<'c> {
    cores: &'c Cores,
    count: usize,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.cores.lock().free += self.count;
        self.cores.0.changed.notify_all();
    }
}

/// Where an executor's batches are computed. It belongs to the executor's thread.
#[derive(Debug)]
pub(crate) struct Place {
    threads: Threads,
    /// What they compute on; nothing of the process where they only ask a device.
    cores: Option<Cores>,
}

impl Place {
    /// Where `encoder` has its weights: on a CPU by `threads`, led by this one; other devices are asked by this thread alone, for
    /// their drivers keep state for each.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn of(
        encoder: &TextEncoder,
        threads: usize,
        cores: &Cores,
    ) -> Result<Self, ThreadsError> {
        let is_cpu = encoder.device().is_cpu();
        Ok(Self {
            threads: Threads::led_here(if is_cpu { threads } else { 1 })?,
            cores: is_cpu.then(|| cores.clone()),
        })
    }

    /// Encodes a batch once its cores are free.
    ///
    /// # Errors
    /// A failure of the device, which loses the batch.
    pub(crate) fn encode(
        &self,
        encoder: &TextEncoder,
        rows: &[RowInput<'_>],
    ) -> Result<Vec<Result<RowEmbedding, RowError>>, EncodeError> {
        let _lent = self
            .cores
            .as_ref()
            .map(|cores| cores.lend(self.threads.count()));
        encoder.encode(rows, &self.threads)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Threads that ask for as many cores each again and again, of so many.
    fn check(all: usize, asked: &[usize], at_once_max: usize) {
        let cores = Cores::new(all);
        let (busy, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for count in asked {
                let (cores, busy, most) = (cores.clone(), &busy, &most);
                scope.spawn(move || {
                    for _ in 0..500 {
                        let lent = cores.lend(*count);
                        let now = busy.fetch_add(lent.count, Ordering::SeqCst) + lent.count;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        busy.fetch_sub(lent.count, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= at_once_max, "{all} for {asked:?}");
        assert_eq!(cores.lock().free, all);
    }

    #[test]
    fn no_more_are_lent_than_there_are() {
        check(2, &[2, 2, 2], 2);
        check(2, &[1, 1, 1, 2], 2);
        check(4, &[2, 2], 4);
        check(3, &[8, 1, 2], 3);
    }

    #[test]
    fn whoever_asks_first_is_first() {
        let cores = Cores::new(2);
        let held = cores.lend(1);
        std::thread::scope(|scope| {
            let (order, arrivals) = std::sync::mpsc::channel();
            for count in [2, 1] {
                let (waiting, order, asking) = (cores.clone(), order.clone(), cores.lock().drawn);
                scope.spawn(move || {
                    let lent = waiting.lend(count);
                    order.send(count).unwrap();
                    drop(lent);
                });
                while cores.lock().drawn == asking {
                    std::thread::yield_now();
                }
            }
            // One is free, and the one who asks for one waits for the one before who asks for two.
            assert!(arrivals.try_recv().is_err());
            drop(held);
            assert_eq!([arrivals.recv(), arrivals.recv()], [Ok(2), Ok(1)]);
        });
    }
}
