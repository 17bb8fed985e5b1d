//! A team of threads that computes a batch on a CPU.

mod processors;

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::device::vendor_library;

/// A leader thread and its helpers: a private rayon pool, so that batches never share threads.
///
/// The leader computes a share of each batch like the helpers, so a batch starts without a handover
/// to another thread. A team belongs to its leader: it is neither `Send` nor `Sync`.
#[derive(Clone, Debug)]
pub struct ThreadTeam {
    pool: Rc<ThreadPool>,
    pauses: Option<Arc<dyn Pauses>>,
}

/// Priority of a team's threads among all threads of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadPriority {
    /// That of the process.
    Usual,
    /// Behind others that want the same processor, those of other processes included: a niceness of
    /// 19, and time slices of 0.1 ms (Linux, slices since 6.12).
    Low,
}

/// Pauses in the middle of a computation, for more urgent ones that need its processors.
///
/// The engine for CPUs asks between the steps of a layer, a millisecond or so apart, on each thread
/// that computes rows of its own, or on one for all threads that share them.
pub trait Pauses: fmt::Debug + Send + Sync {
    /// Returns whether a pause is due. Called often, from all threads that compute.
    fn is_due(&self) -> bool;

    /// Blocks until the computation may go on. It may return at once.
    fn pause(&self);
}

/// Why a team cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ThreadTeamError {
    /// The thread already leads a team of another size, which lives as long as the thread.
    #[error("this thread computes with {0} already")]
    AlreadyLeads(usize),
    /// The system cannot start the helpers, or the thread belongs to another rayon pool.
    #[error("no threads for computing: {0}")]
    None(#[from] ThreadPoolBuildError),
}

thread_local! {
    /// The team that this thread leads.
    static LED: RefCell<Option<ThreadTeam>> = const { RefCell::new(None) };
}

impl ThreadTeam {
    /// Returns the team of `count` threads, at least 1, that the calling thread leads; starts it on
    /// the first call. A team that is started so is never freed, not even when its leader ends: a
    /// program that starts leaders again and again has them run within [`lead`](Self::lead).
    ///
    /// On Linux, where `count` is the number of processors that the thread may run on, each thread
    /// of the team is pinned to one of them. Otherwise a helper that slept is often woken on the
    /// processor of its busy leader while another processor idles until the scheduler next
    /// balances: half a millisecond and more, for a batch that takes one or two.
    ///
    /// # Errors
    /// [`ThreadTeamError`] if the thread leads a team of another size or belongs to a rayon pool,
    /// or if the system cannot start the helpers.
    pub fn for_current_thread(count: usize) -> Result<Self, ThreadTeamError> {
        let count = count.max(1);
        match Self::led() {
            Some(team) if team.count() == count => Ok(team),
            Some(team) => Err(ThreadTeamError::AlreadyLeads(team.count())),
            None => {
                let team = Self::new(count)?;
                LED.set(Some(team.clone()));
                Ok(team)
            }
        }
    }

    /// Runs `body` on the calling thread, which leads a team of `count` threads until `body`
    /// returns; then the helpers end. In `body`, [`for_current_thread`](Self::for_current_thread)
    /// returns the team. If the helpers cannot be started, `body` runs without a team.
    ///
    /// The calling thread should end afterwards: where threads are pinned, it stays on its
    /// processor.
    ///
    /// # Panics
    /// If `body` does.
    pub fn lead<T: Send + 'static>(
        count: usize,
        priority: ThreadPriority,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // The calling thread is worker 0 of the pool and `body` is a job of that worker. (A pool
        // that is built around a thread that exists already keeps its memory for ever.)
        let mut leader = None;
        let builder = builder(count.max(1), priority);
        let pool = builder.spawn_handler(|thread| start(thread, &mut leader));
        let (Ok(pool), Some(leader)) = (pool.build(), leader) else {
            return body();
        };
        let (job, result) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let (taken, put) = (job.clone(), result.clone());
        pool.spawn_broadcast(move |worker| {
            if worker.index() != 0 {
                return;
            }
            let job: Option<(ThreadPool, _)> = lock(&taken).take();
            let Some((pool, body)) = job else { return };
            LED.set(Some(Self::of(pool)));
            let returned = catch_unwind(AssertUnwindSafe(body));
            // The pool is dropped, which ends its threads, this one's work in it among them.
            LED.set(None);
            *lock(&put) = Some(returned);
        });
        *lock(&job) = Some((pool, body));
        leader.run();
        let returned = lock(&result).take();
        match returned.expect("the pool ends when the body has returned") {
            Ok(returned) => returned,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Returns the team that the calling thread leads, of any size; if it leads none, starts one
    /// with a thread for each core that the process may use (cgroup limits count).
    ///
    /// # Errors
    /// [`ThreadTeamError`] if the thread belongs to a rayon pool, or if the system cannot start the
    /// helpers.
    pub fn current_or_default() -> Result<Self, ThreadTeamError> {
        let all = || available_parallelism().map_or(1, usize::from);
        Self::led().map_or_else(|| Self::for_current_thread(all()), Ok)
    }

    /// Returns the team that the calling thread leads.
    fn led() -> Option<Self> {
        LED.with_borrow(Clone::clone)
    }

    fn new(count: usize) -> Result<Self, ThreadTeamError> {
        let pool = builder(count, ThreadPriority::Usual);
        let pool = pool.use_current_thread().build()?;
        // The handler of starts is not called for this thread.
        if let Some(processor) = pinned(count).first() {
            processors::pin_to(*processor);
        }
        Ok(Self::of(pool))
    }

    fn of(pool: ThreadPool) -> Self {
        Self {
            pool: Rc::new(pool),
            pauses: None,
        }
    }

    /// Returns the same team, whose computations pause where that is due.
    pub fn with_pauses(&self, pauses: Arc<dyn Pauses>) -> Self {
        Self {
            pool: self.pool.clone(),
            pauses: Some(pauses),
        }
    }

    /// Returns the pauses of its computations.
    pub fn pauses(&self) -> Option<&Arc<dyn Pauses>> {
        self.pauses.as_ref()
    }

    /// Number of threads, the leader included.
    pub fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` on the calling thread; rayon operations in it use the whole team.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }
}

/// Returns a builder of pools of `count` threads of a priority that are named, and pinned where
/// that is due.
fn builder(count: usize, priority: ThreadPriority) -> ThreadPoolBuilder {
    let pinned = pinned(count);
    ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(|number| format!("motet-encode-{number}"))
        .start_handler(move |number| {
            if let Some(processor) = pinned.get(number) {
                processors::pin_to(*processor);
            }
            if priority == ThreadPriority::Low {
                processors::lower_priority();
            }
        })
}

/// Returns the processor of each of `count` threads, or nothing where they are not pinned.
fn pinned(count: usize) -> Vec<usize> {
    // A vendor's library starts threads of its own, which would inherit the pinned processor of the
    // thread that starts them.
    match vendor_library() {
        None => processors::one_per_thread(count),
        Some(_) => Vec::new(),
    }
}

/// Starts a helper; keeps the leader, which is the thread that starts them.
fn start(thread: ThreadBuilder, leader: &mut Option<ThreadBuilder>) -> std::io::Result<()> {
    if thread.index() == 0 {
        *leader = Some(thread);
        return Ok(());
    }
    let mut named = std::thread::Builder::new();
    if let Some(name) = thread.name() {
        named = named.name(name.to_owned());
    }
    named.spawn(|| thread.run()).map(drop)
}

/// Locks a mutex that nobody holds while code of others runs.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calling_thread_leads_its_team() {
        let threads = ThreadTeam::for_current_thread(3).unwrap();
        let here = std::thread::current().id();
        assert_eq!(threads.count(), 3);
        let (on, all) = threads.run(|| (std::thread::current().id(), rayon::current_num_threads()));
        assert_eq!((on, all), (here, 3));
        assert!(Rc::ptr_eq(
            &threads.pool,
            &ThreadTeam::for_current_thread(3).unwrap().pool
        ));
        let other = ThreadTeam::for_current_thread(2).unwrap_err().to_string();
        assert_eq!(other, "this thread computes with 3 already");
        assert_eq!(ThreadTeam::current_or_default().unwrap().count(), 3);
        let elsewhere = std::thread::spawn(|| ThreadTeam::for_current_thread(0).unwrap().count());
        assert_eq!(elsewhere.join().unwrap(), 1);
    }

    #[test]
    fn a_team_lives_as_long_as_what_its_leader_runs() {
        // The helpers hold this for as long as they live.
        thread_local!(static HELD: RefCell<Option<Arc<()>>> = const { RefCell::new(None) });
        let held = Arc::new(());
        for count in [1, 2, 3] {
            let hold = held.clone();
            let (on, led, in_team) = std::thread::spawn(move || {
                let led = ThreadTeam::lead(count, ThreadPriority::Usual, move || {
                    let team = ThreadTeam::for_current_thread(count).unwrap();
                    let in_team = team.run(|| {
                        rayon::broadcast(|_| HELD.set(Some(hold.clone())));
                        rayon::current_num_threads()
                    });
                    (std::thread::current().id(), team.count(), in_team)
                });
                assert!(ThreadTeam::led().is_none());
                (led.0 == std::thread::current().id(), led.1, led.2)
            })
            .join()
            .unwrap();
            assert_eq!((on, led, in_team), (true, count, count));
        }
        // Threads that have ended dropped it; `join` waits for the leader, not for helpers.
        while Arc::strong_count(&held) > 1 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_panic_of_what_the_leader_runs_is_the_leaders() {
        let leader = std::thread::spawn(|| {
            ThreadTeam::lead(2, ThreadPriority::Usual, || -> () {
                panic!("as it was meant to")
            });
        });
        let panic = leader.join().unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"as it was meant to"));
    }

    #[test]
    fn a_panic_of_a_helper_reaches_the_leader_and_the_team_lives_on() {
        let threads = ThreadTeam::for_current_thread(2).unwrap();
        let panicking = || threads.run(|| rayon::join(|| (), || panic!("as it was meant to")));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
        assert_eq!(threads.run(|| rayon::join(|| 1, || 2)), (1, 2));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_team_of_low_priority_is_nicer_in_all_of_its_threads() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let of_team = |priority| {
            let leader = std::thread::spawn(move || {
                ThreadTeam::lead(2, priority, move || {
                    let team = ThreadTeam::for_current_thread(2).unwrap();
                    team.run(|| rayon::broadcast(|_| niceness()))
                })
            });
            leader.join().unwrap()
        };
        let own = niceness();
        assert_eq!(of_team(ThreadPriority::Usual), [own; 2]);
        assert_eq!(of_team(ThreadPriority::Low), [19; 2]);
        assert_eq!(niceness(), own);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_team_is_pinned_only_if_it_has_a_thread_for_each_processor() {
        let usable = std::thread::available_parallelism().unwrap().get();
        let expected = processors::one_per_thread(usable);
        // Empty with one processor, and where a container may use fewer than there are.
        assert!(expected.is_empty() || expected.len() == usable && usable > 1);
        assert!(processors::one_per_thread(usable + 1).is_empty());
        assert!(processors::one_per_thread(1).is_empty());
        let threads = ThreadTeam::for_current_thread(usable).unwrap();
        let on = threads.run(|| rayon::broadcast(|_| rustix::thread::sched_getcpu()));
        if !expected.is_empty() {
            assert_eq!(on, expected);
        }
    }
}
