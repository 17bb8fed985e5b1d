//! A team of threads that computes a batch on a CPU.

use std::cell::OnceCell;
use std::rc::Rc;
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::device::vendor_library;

/// A leader thread and its helpers: a private rayon pool, so that batches never share threads.
///
/// The leader computes a share of each batch like the helpers, so a batch starts without a handover
/// to another thread. A team belongs to its leader: it is neither `Send` nor `Sync`.
#[derive(Clone, Debug)]
pub struct ThreadTeam(Rc<ThreadPool>);

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
    static LED: OnceCell<ThreadTeam> = const { OnceCell::new() };
}

impl ThreadTeam {
    /// Returns the team of `count` threads, at least 1, that the calling thread leads; starts it on
    /// the first call.
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
        LED.with(|led| match led.get() {
            Some(threads) if threads.count() == count => Ok(threads.clone()),
            Some(threads) => Err(ThreadTeamError::AlreadyLeads(threads.count())),
            None => {
                let threads = Self::new(count)?;
                Ok(led.get_or_init(|| threads).clone())
            }
        })
    }

    /// Returns the team that the calling thread leads, of any size; if it leads none, starts one
    /// with a thread for each core that the process may use (cgroup limits count).
    ///
    /// # Errors
    /// [`ThreadTeamError`] if the thread belongs to a rayon pool, or if the system cannot start the
    /// helpers.
    pub fn current_or_default() -> Result<Self, ThreadTeamError> {
        let led = LED.with(|led| led.get().cloned());
        let all = || available_parallelism().map_or(1, usize::from);
        led.map_or_else(|| Self::for_current_thread(all()), Ok)
    }

    fn new(count: usize) -> Result<Self, ThreadTeamError> {
        // A vendor's library starts threads of its own, which would inherit the pinned processor of
        // the thread that starts them.
        let pinned = match vendor_library() {
            None => processors::one_per_thread(count),
            Some(_) => Vec::new(),
        };
        let leader = pinned.first().copied();
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .use_current_thread()
            .thread_name(|number| format!("motet-encode-{number}"))
            .start_handler(move |number| {
                if let Some(processor) = pinned.get(number) {
                    processors::pin_to(*processor);
                }
            })
            .build()?;
        if let Some(processor) = leader {
            processors::pin_to(processor);
        }
        Ok(Self(Rc::new(pool)))
    }

    /// Number of threads, the leader included.
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Runs `work` on the calling thread; rayon operations in it use the whole team.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.0.install(work)
    }
}

/// The processors that a thread may run on.
#[cfg(target_os = "linux")]
mod processors {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// Returns the processors that the calling thread may run on, if there are exactly `count` and
    /// the process may use all of them at once; else none.
    pub(super) fn one_per_thread(count: usize) -> Vec<usize> {
        // Fewer than the affinity mask has, where a container's CPU quota limits the process.
        let usable = std::thread::available_parallelism().map_or(1, usize::from);
        let Ok(set) = sched_getaffinity(None) else {
            return Vec::new();
        };
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|at| set.is_set(*at)).collect();
        if count > 1 && count == usable && count == all.len() {
            all
        } else {
            Vec::new()
        }
    }

    /// Pins the calling thread to a processor; where that is forbidden, does nothing.
    pub(super) fn pin_to(processor: usize) {
        let mut only = CpuSet::new();
        only.set(processor);
        if let Err(error) = sched_setaffinity(None, &only) {
            tracing::debug!(processor, %error, "a thread of a team could not be pinned to a processor");
        }
    }
}

/// Other systems have no such calls.
#[cfg(not(target_os = "linux"))]
mod processors {
    pub(super) fn one_per_thread(_: usize) -> Vec<usize> {
        Vec::new()
    }

    pub(super) fn pin_to(_: usize) {}
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
            &threads.0,
            &ThreadTeam::for_current_thread(3).unwrap().0
        ));
        let other = ThreadTeam::for_current_thread(2).unwrap_err().to_string();
        assert_eq!(other, "this thread computes with 3 already");
        assert_eq!(ThreadTeam::current_or_default().unwrap().count(), 3);
        let elsewhere = std::thread::spawn(|| ThreadTeam::for_current_thread(0).unwrap().count());
        assert_eq!(elsewhere.join().unwrap(), 1);
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
