//! Cores of an executor of bulk rows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use motet_models::Pauses;

use super::share::Share;
use super::{CoreSemaphore, State};

/// The cores that an executor of bulk rows takes for a batch, and loses in the middle of it when
/// others want them.
///
/// Others do not wait for the threads of the batch: these have a low priority, so the system runs
/// them only where nothing else wants to run, and they pause after the step that they compute.
#[derive(Debug)]
pub(crate) struct BulkCores {
    semaphore: CoreSemaphore,
    holder: Arc<Holder>,
}

/// One executor of bulk rows, as the semaphore sees it.
#[derive(Debug)]
pub(super) struct Holder {
    /// Threads of the executor, each with a core.
    count: usize,
    /// `true` while its batch has the cores; written under the semaphore's lock.
    is_held: AtomicBool,
    /// Locked after the semaphore.
    share: Mutex<Share>,
}

impl Holder {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// Returns its share, accounted for until `now`.
    fn share(&self, now: Instant) -> MutexGuard<'_, Share> {
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        share.account(now, if self.is_held() { 1.0 } else { 0.0 });
        share
    }

    /// Returns whether nothing is owed to the batch, which has cores.
    ///
    /// # Errors
    /// The time until which it is owed some; `None` if that is for ever.
    pub(super) fn check_paid(&self, now: Instant) -> Result<(), Option<Instant>> {
        let share = self.share(now);
        match share.is_owed() {
            true => Err(share.owed_until(now)),
            false => Ok(()),
        }
    }

    /// Gives free cores to the batch.
    fn take(self: &Arc<Self>, state: &mut State) {
        self.set_held(true);
        state.free -= self.count;
        state.holders.push(self.clone());
    }

    /// Takes the cores from the batch, which has them.
    pub(super) fn lose(self: &Arc<Self>, state: &mut State) {
        self.set_held(false);
        state.free += self.count;
        state.holders.retain(|holder| !Arc::ptr_eq(holder, self));
    }

    fn set_held(&self, is_held: bool) {
        drop(self.share(Instant::now()));
        self.is_held.store(is_held, Ordering::Relaxed);
    }
}

impl BulkCores {
    /// Returns cores for `count` threads, which are owed `share` of the time; `None` if there are
    /// fewer cores.
    pub(crate) fn new(semaphore: CoreSemaphore, count: usize, share: f64) -> Option<Self> {
        let holder = Holder {
            count,
            is_held: AtomicBool::new(false),
            share: Mutex::new(Share::new(share, Instant::now())),
        };
        (count <= semaphore.total()).then(|| Self {
            semaphore,
            holder: Arc::new(holder),
        })
    }

    /// Blocks until a batch may begin. Dropping the permit returns the cores.
    pub(crate) fn acquire(&self) -> BulkPermit<'_> {
        let mut state = self.semaphore.lock();
        let now = Instant::now();
        self.holder.share(now).begin(now);
        let ticket = state.bulk.draw();
        state = self.take(state, Some(ticket));
        state.bulk.now_serving += 1;
        drop(state);
        self.semaphore.0.changed.notify_all();
        BulkPermit { cores: self }
    }

    /// Waits until it is this batch's turn and its cores are free, and takes them, unless another
    /// of its threads has. One with a ticket waits in line.
    fn take<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        ticket: Option<u64>,
    ) -> MutexGuard<'s, State> {
        let now = Instant::now();
        let owed_from = self.holder.share(now).owed_from(now);
        state.owed_from.extend(owed_from);
        let mut is_told = false;
        while !self.holder.is_held() {
            let is_owed = owed_from.is_some_and(|from| from <= Instant::now());
            // All others wait from then on, so those before it in the line must go.
            if is_owed && !std::mem::replace(&mut is_told, true) {
                self.semaphore.0.changed.notify_all();
            }
            let is_urgent = is_owed || (ticket.is_some() && state.is_bulk_owed());
            let is_next = ticket.is_none_or(|ticket| state.bulk.now_serving == ticket);
            let mut until = owed_from.filter(|_| !is_owed);
            if is_next && is_urgent {
                // Other batches of bulk rows, which are owed nothing.
                until = state.make_room(self.holder.count).err().flatten();
            }
            let is_first = is_urgent || self.semaphore.waiting() == 0;
            if is_first && is_next && state.free >= self.holder.count {
                self.holder.take(&mut state);
                break;
            }
            // It becomes owed by the time alone, of which nobody notifies.
            state = match until {
                Some(until) => self.semaphore.wait_until(state, until),
                None => self.semaphore.wait(state),
            };
        }
        let own = state.owed_from.iter().position(|it| Some(*it) == owed_from);
        if let Some(own) = own {
            state.owed_from.swap_remove(own);
        }
        state
    }
}

impl Pauses for BulkCores {
    fn is_due(&self) -> bool {
        !self.holder.is_held()
    }

    fn pause(&self) {
        drop(self.take(self.semaphore.lock(), None));
        // The other threads of the batch.
        self.semaphore.0.changed.notify_all();
    }
}

/// The cores of a batch of bulk rows.
#[derive(Debug)]
#[must_use = "the cores are free again when the permit is dropped"]
pub(crate) struct BulkPermit<'c> {
    cores: &'c BulkCores,
}

impl Drop for BulkPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.cores.semaphore.lock();
        if self.cores.holder.is_held() {
            self.cores.holder.lose(&mut state);
            self.cores.semaphore.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread::{scope, sleep};
    use std::time::Duration;

    use super::*;

    fn cores(total: usize, count: usize, share: f64) -> (CoreSemaphore, Arc<BulkCores>) {
        let semaphore = CoreSemaphore::new(total);
        let bulk = BulkCores::new(semaphore.clone(), count, share).expect("enough cores");
        (semaphore, Arc::new(bulk))
    }

    #[test]
    fn a_batch_loses_its_cores_and_goes_on() {
        let (semaphore, bulk) = cores(2, 2, 0.1);
        let permit = bulk.acquire();
        assert!(!bulk.is_due());
        // Nobody wants the cores: it returns at once.
        bulk.pause();
        scope(|scope| {
            // In the middle of a step of the batch.
            let urgent = semaphore.acquire(2);
            assert!(bulk.is_due());
            assert_eq!(semaphore.lock().free, 0);
            let (events, happened) = channel();
            for _ in 0..2 {
                let (bulk, events) = (bulk.clone(), events.clone());
                scope.spawn(move || {
                    bulk.pause();
                    events.send("bulk goes on").unwrap();
                });
            }
            sleep(Duration::from_millis(5));
            events.send("urgent ends").unwrap();
            drop(urgent);
            let order: Vec<&str> = happened.iter().take(3).collect();
            assert_eq!(order, ["urgent ends", "bulk goes on", "bulk goes on"]);
        });
        assert!(!bulk.is_due());
        assert_eq!(semaphore.lock().free, 0);
        drop(permit);
        assert_eq!(semaphore.lock().free, 2);
        assert!(semaphore.lock().owed_from.is_empty());
        assert!(semaphore.lock().holders.is_empty());
    }

    #[test]
    fn cores_are_lost_only_where_they_suffice() {
        let (semaphore, bulk) = cores(2, 1, 0.0);
        let permit = bulk.acquire();
        let first = semaphore.acquire(1);
        assert!(!bulk.is_due());
        scope(|scope| {
            let urgent = semaphore.clone();
            let second = scope.spawn(move || drop(urgent.acquire(2)));
            while semaphore.waiting() == 0 {
                std::thread::yield_now();
            }
            // One core would be of no use to it.
            assert!(!bulk.is_due());
            drop(first);
            second.join().unwrap();
        });
        assert!(bulk.is_due());
        drop(permit);
        assert_eq!(semaphore.lock().free, 2);
    }

    #[test]
    fn others_go_first_until_bulk_is_owed_its_share() {
        let (semaphore, bulk) = cores(1, 1, 0.5);
        let held = semaphore.acquire(1);
        scope(|scope| {
            let (order, arrivals) = channel();
            let (of_bulk, cores) = (order.clone(), bulk.clone());
            scope.spawn(move || {
                let permit = cores.acquire();
                of_bulk.send("bulk").unwrap();
                drop(permit);
            });
            while semaphore.lock().bulk.next_ticket == 0 {
                std::thread::yield_now();
            }
            for _ in 0..2 {
                let (waiting, order) = (semaphore.clone(), order.clone());
                let ticket = semaphore.lock().usual.next_ticket;
                scope.spawn(move || {
                    let permit = waiting.acquire(1);
                    order.send("urgent").unwrap();
                    // Long enough for half of it to be more than is owed at most.
                    sleep(Duration::from_millis(50));
                    drop(permit);
                });
                while semaphore.lock().usual.next_ticket == ticket {
                    std::thread::yield_now();
                }
            }
            drop(held);
            let order: Vec<&str> = arrivals.iter().take(3).collect();
            assert_eq!(order, ["urgent", "bulk", "urgent"]);
        });
        assert_eq!(semaphore.lock().free, 1);
    }

    /// Returns cores of a batch that has them, and had waited for 50 ms before.
    fn owed(share: f64) -> (CoreSemaphore, Arc<BulkCores>) {
        let (semaphore, bulk) = cores(1, 1, share);
        std::mem::forget(bulk.acquire());
        bulk.holder.set_held(false);
        sleep(Duration::from_millis(50));
        bulk.holder.set_held(true);
        (semaphore, bulk)
    }

    #[test]
    fn a_batch_that_is_owed_time_keeps_its_cores() {
        let (semaphore, bulk) = owed(1.0);
        let permit = BulkPermit { cores: &bulk };
        scope(|scope| {
            let urgent = semaphore.clone();
            let urgent = scope.spawn(move || drop(urgent.acquire(1)));
            while semaphore.waiting() == 0 {
                std::thread::yield_now();
            }
            sleep(Duration::from_millis(5));
            assert!(!bulk.is_due() && !urgent.is_finished());
            // It would wait for ever where another one had the core.
            bulk.pause();
            drop(permit);
        });
        assert_eq!(semaphore.lock().free, 1);
    }

    #[test]
    fn a_batch_loses_its_cores_once_it_is_paid_even_if_it_never_pauses() {
        let (semaphore, bulk) = owed(0.5);
        assert!(bulk.holder.check_paid(Instant::now()).is_err());
        let urgent = semaphore.acquire(1);
        assert!(bulk.is_due());
        assert!(bulk.holder.check_paid(Instant::now()).is_ok());
        drop(urgent);
        assert_eq!(semaphore.lock().free, 1);
    }

    #[test]
    fn a_batch_that_is_owed_time_takes_the_cores_of_one_that_is_not() {
        let (semaphore, bulk) = cores(1, 1, 0.0);
        let other = BulkCores::new(semaphore.clone(), 1, 0.5).expect("enough cores");
        let permit = bulk.acquire();
        let of_other = other.acquire();
        assert!(bulk.is_due() && !other.is_due());
        drop((of_other, permit));
        assert_eq!(semaphore.lock().free, 1);
    }

    /// Bulk batches of three models, one of which is owed nothing, with parts of random length on
    /// two threads each, beside others.
    #[test]
    fn all_come_to_their_end() {
        let semaphore = CoreSemaphore::new(2);
        scope(|scope| {
            for share in [0.1, 0.1, 0.0] {
                let bulk = BulkCores::new(semaphore.clone(), 2, share).expect("enough cores");
                scope.spawn(move || {
                    for batch in 0..200 {
                        let permit = bulk.acquire();
                        std::thread::scope(|scope| {
                            for thread in 0..2 {
                                let bulk = &bulk;
                                scope.spawn(move || {
                                    for _ in 0..(batch * 7 + thread * 5) % 11 {
                                        if bulk.is_due() {
                                            bulk.pause();
                                        }
                                        std::thread::yield_now();
                                    }
                                });
                            }
                        });
                        drop(permit);
                    }
                });
            }
            for count in [1, 2, 2] {
                let semaphore = semaphore.clone();
                scope.spawn(move || {
                    for _ in 0..300 {
                        let permit = semaphore.acquire(count);
                        std::thread::yield_now();
                        drop(permit);
                    }
                });
            }
        });
        let state = semaphore.lock();
        assert_eq!((state.free, state.owed_from.len()), (2, 0));
        assert!(state.holders.is_empty());
    }

    #[test]
    fn an_executor_of_more_threads_than_cores_has_none() {
        assert!(BulkCores::new(CoreSemaphore::new(2), 3, 0.1).is_none());
    }
}
