//! Resident memory of a process over time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::program::resident_bytes;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Watches the memory of a process until it is dropped.
#[derive(Debug)]
pub(super) struct Memory {
    process: u32,
    peak: Arc<AtomicU64>,
    watching: JoinHandle<()>,
}

impl Memory {
    pub(super) fn watch(process: u32) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let watching = tokio::spawn({
            let peak = peak.clone();
            async move {
                while let Some(bytes) = resident_bytes(process) {
                    peak.fetch_max(bytes, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        Self {
            process,
            peak,
            watching,
        }
    }

    /// Returns the memory now, in bytes; 0 for a process that has ended.
    pub(super) fn now(&self) -> u64 {
        resident_bytes(self.process).unwrap_or(0)
    }

    /// Returns the most memory so far.
    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
