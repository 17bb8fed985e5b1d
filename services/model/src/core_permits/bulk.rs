//! Cores of an executor of bulk rows.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use motet_models::Pauses;

use super::share::Share;
use super::{CoreSemaphore, State};

/// The cores that an executor of bulk rows takes for a batch, and gives back in the middle of it
/// when others wait for them.
///
/// All of its threads pause together: cores are given back once each thread that computes has come
/// to a pause. (Those that have nothing to do hold nobody up.)
#[derive(Debug)]
pub(crate) struct BulkCores {
    semaphore: CoreSemaphore,
    /// Threads of the executor, each with a core.
    count: usize,
    account: Mutex<Account>,
}

/// Locked after the semaphore.
#[derive(Debug)]
struct Account {
    share: Share,
    /// `true` while the batch has its cores.
    is_held: bool,
    /// Threads that compute a part of the batch, and those among them that pause.
    computing: usize,
    pausing: usize,
}

impl Account {
    /// Accounts for the time until now.
    fn update(&mut self) {
        let computing = if self.is_held { 1.0 } else { 0.0 };
        self.share.account(Instant::now(), computing);
    }
}

impl BulkCores {
    /// Returns cores for `count` threads, which are owed `share` of the time; `None` if there are
    /// fewer cores.
    pub(crate) fn new(semaphore: CoreSemaphore, count: usize, share: f64) -> Option<Self> {
        let account = Account {
            share: Share::new(share, Instant::now()),
            is_held: false,
            computing: 0,
            pausing: 0,
        };
        (count <= semaphore.total()).then_some(Self {
            semaphore,
            count,
            account: Mutex::new(account),
        })
    }

    /// Blocks until a batch may begin. Dropping the permit returns the cores.
    pub(crate) fn acquire(&self) -> BulkPermit<'_> {
        let mut state = self.semaphore.lock();
        self.account().share.begin(Instant::now());
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
        let owed_from = {
            let mut account = self.account();
            account.update();
            account.share.owed_from(Instant::now())
        };
        state.owed_from.extend(owed_from);
        let mut is_told = false;
        loop {
            let now = Instant::now();
            let is_owed = owed_from.is_some_and(|from| from <= now);
            // All others wait from then on, so those before it in the line must go.
            if is_owed && !std::mem::replace(&mut is_told, true) {
                self.semaphore.0.changed.notify_all();
            }
            let line_is_owed = ticket.is_some() && state.is_bulk_owed();
            let is_first = is_owed || line_is_owed || self.semaphore.waiting() == 0;
            let is_next = ticket.is_none_or(|ticket| state.bulk.now_serving == ticket);
            let is_held = self.account().is_held;
            if is_first && is_next && (is_held || state.free >= self.count) {
                break;
            }
            // It becomes owed by the time alone, of which nobody notifies.
            state = match owed_from.filter(|_| !is_owed) {
                Some(from) => self.semaphore.wait_for(state, from - now),
                None => self.semaphore.wait(state),
            };
        }
        let own = state.owed_from.iter().position(|it| Some(*it) == owed_from);
        if let Some(own) = own {
            state.owed_from.swap_remove(own);
        }
        let mut account = self.account();
        account.update();
        if !account.is_held {
            account.is_held = true;
            state.free -= self.count;
        }
        drop(account);
        state
    }

    /// Gives the cores back, if the batch has them.
    fn give_back(&self, state: &mut State, account: &mut Account) {
        account.update();
        if std::mem::take(&mut account.is_held) {
            state.free += self.count;
            self.semaphore.0.changed.notify_all();
        }
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pauses for BulkCores {
    fn begin(&self) {
        self.account().computing += 1;
        if self.is_due() {
            self.pause();
        }
    }

    fn end(&self) {
        let mut state = self.semaphore.lock();
        let mut account = self.account();
        account.computing -= 1;
        if account.pausing > 0 && account.pausing == account.computing {
            self.give_back(&mut state, &mut account);
        }
    }

    fn is_due(&self) -> bool {
        self.semaphore.waiting() > 0
    }

    fn pause(&self) {
        let mut state = self.semaphore.lock();
        let mut account = self.account();
        account.update();
        // Others of its threads may have given the cores back.
        let goes_on = account.share.is_owed() || self.semaphore.waiting() == 0;
        if account.is_held && goes_on {
            return;
        }
        account.pausing += 1;
        if account.pausing == account.computing {
            self.give_back(&mut state, &mut account);
        }
        drop(account);
        let state = self.take(state, None);
        self.account().pausing -= 1;
        drop(state);
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
        let mut account = self.cores.account();
        self.cores.give_back(&mut state, &mut account);
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
    fn a_batch_gives_way_and_goes_on() {
        let (semaphore, bulk) = cores(2, 2, 0.1);
        let permit = bulk.acquire();
        for _ in 0..2 {
            bulk.begin();
        }
        assert!(!bulk.is_due());
        // Nobody waits: it returns at once.
        bulk.pause();
        scope(|scope| {
            let (events, happened) = channel();
            let (urgent, of_urgent) = (semaphore.clone(), events.clone());
            scope.spawn(move || {
                let permit = urgent.acquire(2);
                of_urgent.send("urgent").unwrap();
                sleep(Duration::from_millis(5));
                of_urgent.send("urgent ends").unwrap();
                drop(permit);
            });
            while !bulk.is_due() {
                std::thread::yield_now();
            }
            // Cores are given back once the second thread pauses, too.
            for _ in 0..2 {
                assert_eq!(semaphore.lock().free, 0);
                let (bulk, events) = (bulk.clone(), events.clone());
                scope.spawn(move || {
                    bulk.pause();
                    events.send("bulk goes on").unwrap();
                });
            }
            let order: Vec<&str> = happened.iter().take(4).collect();
            assert_eq!(
                order,
                ["urgent", "urgent ends", "bulk goes on", "bulk goes on"]
            );
        });
        drop(permit);
        assert_eq!(semaphore.lock().free, 2);
        assert!(semaphore.lock().owed_from.is_empty());
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

    #[test]
    fn a_batch_that_is_owed_time_does_not_give_way() {
        let (semaphore, bulk) = cores(1, 1, 1.0);
        let permit = bulk.acquire();
        bulk.begin();
        // As if it had waited for all of the time.
        bulk.account().is_held = false;
        sleep(Duration::from_millis(50));
        bulk.account().update();
        bulk.account().is_held = true;
        scope(|scope| {
            let urgent = semaphore.clone();
            scope.spawn(move || drop(urgent.acquire(1)));
            while !bulk.is_due() {
                std::thread::yield_now();
            }
            // It would wait for ever where another one had the core.
            bulk.pause();
            assert_eq!(semaphore.lock().free, 0);
            drop(permit);
        });
        assert_eq!(semaphore.lock().free, 1);
    }

    #[test]
    fn a_thread_that_has_nothing_to_do_holds_nobody_up() {
        let (semaphore, bulk) = cores(2, 2, 0.1);
        let permit = bulk.acquire();
        scope(|scope| {
            for _ in 0..2 {
                bulk.begin();
            }
            let urgent = semaphore.clone();
            let urgent = scope.spawn(move || drop(urgent.acquire(2)));
            while !bulk.is_due() {
                std::thread::yield_now();
            }
            let pausing = bulk.clone();
            let pausing = scope.spawn(move || pausing.pause());
            while bulk.account().pausing == 0 {
                std::thread::yield_now();
            }
            assert!(!urgent.is_finished() && !pausing.is_finished());
            // The other one's part is done, before or after the first one pauses.
            bulk.end();
            urgent.join().unwrap();
            pausing.join().unwrap();
            bulk.end();
        });
        drop(permit);
        assert_eq!(semaphore.lock().free, 2);
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
                                    bulk.begin();
                                    for _ in 0..(batch * 7 + thread * 5) % 11 {
                                        if bulk.is_due() {
                                            bulk.pause();
                                        }
                                        std::thread::yield_now();
                                    }
                                    bulk.end();
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
    }

    #[test]
    fn an_executor_of_more_threads_than_cores_has_none() {
        assert!(BulkCores::new(CoreSemaphore::new(2), 3, 0.1).is_none());
    }
}
