//! The processors of threads, and their priority there. The only foreign call of this crate.

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod linux {
    use std::io;

    use rustix::process::setpriority_process;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// The highest niceness: 1.5 % of the time beside a busy thread of niceness 0.
    const NICENESS: i32 = 19;

    /// Nanoseconds for which the scheduler lets a thread go on although another one of higher
    /// priority could run; the least that it accepts. It is a millisecond and more by default,
    /// which a caller would wait at each of the threads that its call passes through.
    const TIME_SLICE: u64 = 100_000;

    /// Returns the processors that the calling thread may run on, if there are exactly `count` and
    /// the process may use all of them at once; else none.
    pub(in crate::thread_team) fn one_per_thread(count: usize) -> Vec<usize> {
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

    /// Gives the calling thread a lower priority than others. On Linux a thread has a niceness of
    /// its own, and every thread may raise it.
    pub(in crate::thread_team) fn lower_priority() {
        let nice = setpriority_process(None, NICENESS).map_err(io::Error::from);
        // Before Linux 6.12 slices are ignored; some sandboxes forbid the call.
        if let Err(error) = nice.and_then(|()| shorten_time_slice()) {
            tracing::debug!(%error, "a thread could not be given a lower priority");
        }
    }

    /// Shortens the time slices of the calling thread, which has [`NICENESS`].
    fn shorten_time_slice() -> io::Result<()> {
        let attributes = libc::sched_attr {
            size: size_of::<libc::sched_attr>() as u32,
            sched_policy: 0,
            sched_flags: libc::SCHED_FLAG_KEEP_POLICY as u64,
            sched_nice: NICENESS,
            sched_priority: 0,
            sched_runtime: TIME_SLICE,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: the call reads the attributes, whose size is in them, and keeps no reference;
        // thread 0 is the calling one.
        let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Pins the calling thread to a processor; where that is forbidden, does nothing.
    pub(in crate::thread_team) fn pin_to(processor: usize) {
        let mut only = CpuSet::new();
        only.set(processor);
        if let Err(error) = sched_setaffinity(None, &only) {
            tracing::debug!(processor, %error, "a thread could not be pinned to a processor");
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Returns the niceness of the calling thread and its time slice in nanoseconds, 0 before
        /// Linux 6.12.
        fn attributes() -> (i32, u64) {
            // SAFETY: all of its fields are numbers.
            let mut found: libc::sched_attr = unsafe { std::mem::zeroed() };
            let size = size_of_val(&found);
            // SAFETY: the call writes at most `size` bytes of the attributes; thread 0 is the
            // calling one.
            let result =
                unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size, 0) };
            assert_eq!(result, 0, "{}", io::Error::last_os_error());
            (found.sched_nice, found.sched_runtime)
        }

        #[test]
        fn a_lower_priority_is_that_of_the_calling_thread() {
            let before = attributes();
            let lowered = std::thread::spawn(|| {
                lower_priority();
                attributes()
            });
            let expected = match before {
                (_, 0) => (NICENESS, 0),
                _ => (NICENESS, TIME_SLICE),
            };
            assert_eq!(lowered.join().unwrap(), expected);
            assert_eq!(attributes(), before);
        }
    }
}

/// Other systems have no such calls.
#[cfg(not(target_os = "linux"))]
mod others {
    pub(in crate::thread_team) fn one_per_thread(_: usize) -> Vec<usize> {
        Vec::new()
    }

    pub(in crate::thread_team) fn pin_to(_: usize) {}

    pub(in crate::thread_team) fn lower_priority() {}
}

#[cfg(target_os = "linux")]
pub(super) use linux::{lower_priority, one_per_thread, pin_to};
#[cfg(not(target_os = "linux"))]
pub(super) use others::{lower_priority, one_per_thread, pin_to};
