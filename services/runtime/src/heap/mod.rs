//! Memory that is free is given back to the system.
//!
//! glibc keeps what many threads have freed for their next requests: a process that held much for
//! a moment would seem to hold it for ever, and a neighbour in the same container could not have
//! it. Nothing is kept on purpose here, so all of it can go.
//!
//! * `resident`: resident memory of this process.
//! * `trim`: the calls of the allocator.

mod resident;
mod trim;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use resident::resident_bytes;

/// Pause between two looks at the memory. The allocator looks at every free chunk, which takes some
/// milliseconds of one thread where there are many.
const INTERVAL: Duration = Duration::from_secs(10);
/// Fewest heaps of the allocator.
const HEAPS_MIN: usize = 2;
/// Memory above the least that was seen with which nothing is done, in bytes.
const SLACK_BYTES: u64 = 16 << 20;

/// Gives free memory back now and then until `shutdown` is cancelled. Returns at once where the
/// system does not tell the memory of a process, or has another allocator.
pub async fn give_back(shutdown: CancellationToken) {
    let mut least = LeastMemory::default();
    while let Some(resident) = resident_bytes().filter(|_| trim::IS_SUPPORTED) {
        if least.is_exceeded(resident) {
            // On a thread of its own: a call that needs memory meanwhile may wait for a part of it.
            let trimmed = tokio::task::spawn_blocking(trim::trim).await;
            let now = resident_bytes().unwrap_or(resident);
            least.is_exceeded(now);
            tracing::debug!(resident, now, ok = trimmed.is_ok(), "gave free memory back");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Gives free memory back at once, such as that of a model that was unloaded.
pub async fn give_back_now() {
    if trim::IS_SUPPORTED {
        // A panic was logged where it happened.
        let _ = tokio::task::spawn_blocking(trim::trim).await;
    }
}

/// Limits the number of heaps that the allocator has for threads to that of this machine's cores,
/// 2 at least: by default there are eight for each core, of which every one keeps some memory that
/// is free. To be called before there are threads. `MALLOC_ARENA_MAX` of the environment counts
/// instead, where it is set.
pub fn limit_heaps() {
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        let cores = std::thread::available_parallelism();
        trim::limit_heaps(cores.map_or(HEAPS_MIN, |cores| cores.get().max(HEAPS_MIN)));
    }
}

/// The least resident memory so far.
#[derive(Debug, Default)]
struct LeastMemory(Option<u64>);

impl LeastMemory {
    /// Takes note of the memory at this moment. Returns whether it exceeds the least by more than
    /// [`SLACK_BYTES`].
    fn is_exceeded(&mut self, resident: u64) -> bool {
        let least = self.0.map_or(resident, |least| least.min(resident));
        self.0 = Some(least);
        resident > least + SLACK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_while_there_is_more_than_the_least() {
        let mut least = LeastMemory::default();
        for (megabytes, exceeds) in [(100, false), (110, false), (200, true), (120, true)] {
            assert_eq!(
                least.is_exceeded(megabytes << 20),
                exceeds,
                "{megabytes} MB"
            );
        }
        assert!(!least.is_exceeded(90 << 20), "a new least");
        assert!(least.is_exceeded(110 << 20));
    }

    #[test]
    fn what_was_freed_is_no_longer_resident() {
        if !trim::IS_SUPPORTED {
            return;
        }
        // Small pieces, which no mapping of their own gives back by itself; every second one first.
        let pieces: Vec<Box<[u8]>> = (0..40_000).map(|n| vec![n as u8; 4000].into()).collect();
        let last = Box::new([1_u8; 64]);
        let before = resident_bytes().expect("Linux tells");
        drop(pieces);
        trim::trim();
        let after = resident_bytes().expect("Linux tells");
        assert!(after + (100 << 20) < before, "{before} to {after} bytes");
        drop(last);
    }
}
