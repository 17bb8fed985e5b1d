//! Permits for the processor's cores: which batches may compute at the same time.
//!
//! Batches get their cores in the order in which they ask. Those of bulk rows ([`BulkCores`]) wait
//! until no other one waits, and lose their cores when another one comes; where others would take
//! all of the time, they are owed a share of it.

mod bulk;
mod share;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Instant;

pub(crate) use bulk::BulkCores;
use bulk::Holder;

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
    /// Requests that wait, without those of bulk rows; written under the lock.
    waiting: AtomicUsize,
    /// Notified when the next ticket is served and when permits are returned.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    usual: Line,
    bulk: Line,
    /// Times from which each batch of bulk rows that waits is owed its share: all others then wait
    /// for it.
    owed_from: Vec<Instant>,
    /// The batches of bulk rows that have cores.
    holders: Vec<Arc<Holder>>,
}

impl State {
    /// Takes cores from batches of bulk rows that are not owed time, until `count` are free; takes
    /// none if those do not suffice.
    ///
    /// # Errors
    /// When it may succeed without anybody's notice: a batch is owed no more time then.
    fn make_room(&mut self, count: usize) -> Result<(), Option<Instant>> {
        let now = Instant::now();
        let mut paid_at = None;
        let mut losers = Vec::new();
        let mut free = self.free;
        for holder in &self.holders {
            if free >= count {
                break;
            }
            match holder.check_paid(now) {
                Ok(()) => {
                    free += holder.count();
                    losers.push(holder.clone());
                }
                Err(time) => paid_at = [paid_at, time].into_iter().flatten().min(),
            }
        }
        if free < count {
            return Err(paid_at);
        }
        for loser in &losers {
            loser.lose(self);
        }
        Ok(())
    }

    /// Returns whether a batch of bulk rows goes first.
    fn is_bulk_owed(&self) -> bool {
        !self.owed_from.is_empty() && {
            let now = Instant::now();
            self.owed_from.iter().any(|from| *from <= now)
        }
    }
}

/// A line of requests, served in the order of their tickets.
#[derive(Debug, Default)]
struct Line {
    /// The ticket that the next caller draws.
    next_ticket: u64,
    /// The ticket that is served next.
    now_serving: u64,
}

impl Line {
    fn draw(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        ticket
    }
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
            ..State::default()
        };
        Self(Arc::new(Inner {
            total,
            state: Mutex::new(state),
            waiting: AtomicUsize::new(0),
            changed: Condvar::new(),
        }))
    }

    /// Number of cores, free or not.
    pub(crate) fn total(&self) -> usize {
        self.0.total
    }

    /// Blocks until `count` cores are free, or all cores if `count` is larger; those of bulk rows
    /// are, unless these are owed time. Dropping the permit returns them.
    pub(crate) fn acquire(&self, count: usize) -> CorePermit<'_> {
        let count = count.min(self.0.total);
        let mut state = self.lock();
        let ticket = state.usual.draw();
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        loop {
            let is_next = state.usual.now_serving == ticket && !state.is_bulk_owed();
            state = match is_next.then(|| state.make_room(count)) {
                Some(Ok(())) => break,
                Some(Err(Some(until))) => self.wait_until(state, until),
                Some(Err(None)) | None => self.wait(state),
            };
        }
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        state.usual.now_serving += 1;
        state.free -= count;
        drop(state);
        self.0.changed.notify_all();
        CorePermit {
            semaphore: self,
            count,
        }
    }

    /// Number of requests that wait, without those of bulk rows.
    fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until anything has changed.
    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let changed = self.0.changed.wait(state);
        changed.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until anything has changed, or this time has come.
    fn wait_until<'s>(
        &self,
        state: MutexGuard<'s, State>,
        until: Instant,
    ) -> MutexGuard<'s, State> {
        let time = until.saturating_duration_since(Instant::now());
        let changed = self.0.changed.wait_timeout(state, time);
        changed.unwrap_or_else(PoisonError::into_inner).0
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
                let ticket = cores.lock().usual.next_ticket;
                scope.spawn(move || {
                    let permit = waiting.acquire(count);
                    order.send(count).unwrap();
                    drop(permit);
                });
                while cores.lock().usual.next_ticket == ticket {
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
