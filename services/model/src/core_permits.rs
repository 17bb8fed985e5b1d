//! Permits for the processor's cores: which batches may compute at the same time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

/// A fair semaphore with one permit for each core that the process may use. Clones share it.
///
/// Batches get their cores in the order in which they asked. Without permits, threads of several
/// batches on one core would preempt each other in the middle of a step that others wait for.
#[derive(Clone, Debug)]
pub(crate) struct CoreSemaphore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: usize,
    state: Mutex<State>,
    /// Notified when the next ticket is served and when permits are returned.
    changed: Condvar,
}

/// A ticket lock over a count of free permits.
#[derive(Debug)]
struct State {
    free: usize,
    /// The ticket that the next caller draws.
    next_ticket: u64,
    /// The ticket that is served next.
    now_serving: u64,
}

impl Default for CoreSemaphore {
    /// Returns a permit for each core that the process may use; cgroup limits count.
    fn default() -> Self {
        Self::new(available_parallelism().map_or(1, usize::from))
    }
}

impl CoreSemaphore {
    fn new(total: usize) -> Self {
        let state = State {
            free: total,
            next_ticket: 0,
            now_serving: 0,
        };
        Self(Arc::new(Inner {
            total,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }))
    }

    /// Number of cores, free or not.
    pub(crate) fn total(&self) -> usize {
        self.0.total
    }

    /// Blocks until `count` cores are free, or all cores if `count` is larger. Dropping the permit
    /// returns them.
    pub(crate) fn acquire(&self, count: usize) -> CorePermit<'_> {
        let count = count.min(self.0.total);
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        while state.now_serving != ticket || state.free < count {
            let changed = self.0.changed.wait(state);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        }
        state.now_serving += 1;
        state.free -= count;
        drop(state);
        self.0.changed.notify_all();
        CorePermit {
            semaphore: self,
            count,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cores in use by one batch.
#[derive(Debug)]
#[must_use = "the cores are free again when the permit is dropped"]
pub(crate) struct CorePermit<'s> {
    semaphore: &'s CoreSemaphore,
    count: usize,
}

impl Drop for CorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.lock().free += self.count;
        self.semaphore.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Acquires and releases permits from one thread for each of `requested`, over and over.
    fn check(total: usize, requested: &[usize], in_use_max: usize) {
        let cores = CoreSemaphore::new(total);
        let (busy, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for count in requested {
                let (cores, busy, most) = (cores.clone(), &busy, &most);
                scope.spawn(move || {
                    for _ in 0..500 {
                        let permit = cores.acquire(*count);
                        let now = busy.fetch_add(permit.count, Ordering::SeqCst) + permit.count;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        busy.fetch_sub(permit.count, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= in_use_max, "{total} for {requested:?}");
        assert_eq!(cores.lock().free, total);
    }

    #[test]
    fn permits_never_exceed_the_cores() {
        check(2, &[2, 2, 2], 2);
        check(2, &[1, 1, 1, 2], 2);
        check(4, &[2, 2], 4);
        check(3, &[8, 1, 2], 3);
    }

    #[test]
    fn permits_are_granted_in_the_order_of_requests() {
        let cores = CoreSemaphore::new(2);
        let held = cores.acquire(1);
        std::thread::scope(|scope| {
            let (order, arrivals) = std::sync::mpsc::channel();
            for count in [2, 1] {
                let (waiting, order) = (cores.clone(), order.clone());
                let ticket = cores.lock().next_ticket;
                scope.spawn(move || {
                    let permit = waiting.acquire(count);
                    order.send(count).unwrap();
                    drop(permit);
                });
                while cores.lock().next_ticket == ticket {
                    std::thread::yield_now();
                }
            }
            // One core is free, but the request for one waits behind the request for two.
            assert!(arrivals.try_recv().is_err());
            drop(held);
            assert_eq!([arrivals.recv(), arrivals.recv()], [Ok(2), Ok(1)]);
        });
    }
}
