//! The threads that compute a batch on a CPU together.

use std::cell::OnceCell;
use std::rc::Rc;
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::device::vendor_library;

/// The thread that asked for them, which leads, and helpers. They compute one batch at a time, of which the leader does a share as the
/// others do: nothing is handed over before it begins, and nothing of another batch can come in between.
///
/// It belongs to its leader: neither `Send` nor `Sync`.
#[derive(Clone, Debug)]
pub struct Threads(Rc<ThreadPool>);

/// Why there are no such threads.
#[derive(Debug, thiserror::Error)]
pub enum ThreadsError {
    /// The thread leads another number of threads, as it will for as long as it lives.
    #[error("this thread computes with {0} already")]
    Leads(usize),
    /// The system gives no more threads, or this one belongs to somebody's thread pool.
    #[error("no threads for computing: {0}")]
    None(#[from] ThreadPoolBuildError),
}

thread_local! {
    /// Those that this thread leads.
    static LED: OnceCell<Threads> = const { OnceCell::new() };
}

impl Threads {
    /// `count` threads, at least 1, led by this one. Asking again on the same thread gives the same ones.
    ///
    /// Where they are as many as the processors that this thread may run on (Linux only), each gets one of these for itself. A helper
    /// that slept is otherwise often woken on the processor of its leader, which is busy, while another rests until the
    /// scheduler next looks: half a millisecond and more, for a batch that takes one or two.
    ///
    /// # Errors
    /// A thread that leads another number of threads, or belongs to a thread pool; a system that gives no threads.
    pub fn led_here(count: usize) -> Result<Self, ThreadsError> {
        let count = count.max(1);
        LED.with(|led| match led.get() {
            Some(threads) if threads.count() == count => Ok(threads.clone()),
            Some(threads) => Err(ThreadsError::Leads(threads.count())),
            None => {
                let threads = Self::new(count)?;
                Ok(led.get_or_init(|| threads).clone())
            }
        })
    }

    /// Those that this thread leads; if there are none, as many as the process may use, which cgroups limit.
    ///
    /// # Errors
    /// A thread that belongs to a thread pool; a system that gives no threads.
    pub fn here() -> Result<Self, ThreadsError> {
        let led = LED.with(|led| led.get().cloned());
        let all = || available_parallelism().map_or(1, usize::from);
        led.map_or_else(|| Self::led_here(all()), Ok)
    }

    fn new(count: usize) -> Result<Self, ThreadsError> {
        // A vendor's library starts threads of its own, which would inherit the one processor of the thread that they are started by.
        let places = match vendor_library() {
            None => processors::one_for_each(count),
            Some(_) => Vec::new(),
        };
        let leads = places.first().copied();
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .use_current_thread()
            .thread_name(|number| format!("motet-encode-{number}"))
            .start_handler(move |number| {
                if let Some(place) = places.get(number) {
                    processors::stay_on(*place);
                }
            })
            .build()?;
        if let Some(place) = leads {
            processors::stay_on(place);
        }
        Ok(Self(Rc::new(pool)))
    }

    /// How many they are, with the leader.
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Runs `work` on this thread, and what it does by rayon on all of them.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.0.install(work)
    }
}

/// Which processors a thread may run on.
#[cfg(target_os = "linux")]
mod processors {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// The processors that this thread may run on, if they are so many and no fewer can be used at once.
    pub(super) fn one_for_each(count: usize) -> Vec<usize> {
        // Fewer than there are where the process may not use them all the time (a container's limit).
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

    /// This thread runs on no other from now on. Where that is forbidden it runs where it did.
    pub(super) fn stay_on(processor: usize) {
        let mut only = CpuSet::new();
        only.set(processor);
        if let Err(error) = sched_setaffinity(None, &only) {
            tracing::debug!(processor, %error, "a computing thread has no processor of its own");
        }
    }
}

/// Elsewhere the system does not tell, or does not listen.
#[cfg(not(target_os = "linux"))]
mod processors {
    pub(super) fn one_for_each(_: usize) -> Vec<usize> {
        Vec::new()
    }

    pub(super) fn stay_on(_: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asking_thread_leads() {
        let threads = Threads::led_here(3).unwrap();
        let here = std::thread::current().id();
        assert_eq!(threads.count(), 3);
        let (on, all) = threads.run(|| (std::thread::current().id(), rayon::current_num_threads()));
        assert_eq!((on, all), (here, 3));
        assert!(Rc::ptr_eq(&threads.0, &Threads::led_here(3).unwrap().0));
        let other = Threads::led_here(2).unwrap_err().to_string();
        assert_eq!(other, "this thread computes with 3 already");
        assert_eq!(Threads::here().unwrap().count(), 3);
        let elsewhere = std::thread::spawn(|| Threads::led_here(0).unwrap().count());
        assert_eq!(elsewhere.join().unwrap(), 1);
    }

    #[test]
    fn a_panic_of_a_helper_is_the_leaders_and_both_go_on() {
        let threads = Threads::led_here(2).unwrap();
        let panicking = || threads.run(|| rayon::join(|| (), || panic!("as it was meant to")));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
        assert_eq!(threads.run(|| rayon::join(|| 1, || 2)), (1, 2));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn as_many_as_processors_get_one_each_and_others_none() {
        let usable = std::thread::available_parallelism().unwrap().get();
        let places = processors::one_for_each(usable);
        // Nothing to place with one processor, and where a container may use fewer than there are.
        assert!(places.is_empty() || places.len() == usable && usable > 1);
        assert!(processors::one_for_each(usable + 1).is_empty());
        assert!(processors::one_for_each(1).is_empty());
        let threads = Threads::led_here(usable).unwrap();
        let on = threads.run(|| rayon::broadcast(|_| rustix::thread::sched_getcpu()));
        if !places.is_empty() {
            assert_eq!(on, places);
        }
    }
}
