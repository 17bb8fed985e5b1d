//! Cancellation of computations: one that runs on a thread of its own stops when its request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Operations between two looks at the flag, about a millisecond.
const CHECK_INTERVAL: u64 = 1 << 20;

/// The request of a computation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request has ended")]
pub struct Cancelled;

/// Tells a computation whether its request has ended. The default never ends.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Option<Arc<AtomicBool>>);

/// Ends the request of a [`Cancel`] when it is dropped.
#[derive(Debug)]
pub struct CancelOnDrop(Arc<AtomicBool>);

impl Cancel {
    /// A flag, and the guard whose drop sets it.
    ///
    /// ```
    /// use motet_gateway::compute::Cancel;
    ///
    /// let (cancel, guard) = Cancel::on_drop();
    /// assert!(!cancel.is_cancelled());
    /// drop(guard);
    /// assert!(cancel.is_cancelled());
    /// ```
    pub fn on_drop() -> (Self, CancelOnDrop) {
        let flag = Arc::new(AtomicBool::new(false));
        (Self(Some(flag.clone())), CancelOnDrop(flag))
    }

    /// `true` once the request has ended.
    pub fn is_cancelled(&self) -> bool {
        // The flag guards no other data, so no ordering is needed.
        self.0.as_ref().is_some_and(|f| f.load(Ordering::Relaxed))
    }

    /// A counter of operations that looks at the flag from time to time.
    pub fn meter(&self) -> Meter<'_> {
        Meter {
            cancel: self,
            unchecked: 0,
        }
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts the operations of a long loop, so that the flag is read once every
/// `CHECK_INTERVAL` operations and costs nothing in between.
#[derive(Debug)]
pub struct Meter<'c> {
    cancel: &'c Cancel,
    unchecked: u64,
}

impl Meter<'_> {
    /// Counts `operations` that are about to run.
    ///
    /// # Errors
    /// When the request has ended.
    pub fn spend(&mut self, operations: usize) -> Result<(), Cancelled> {
        self.unchecked = self.unchecked.saturating_add(operations as u64);
        if self.unchecked < CHECK_INTERVAL {
            return Ok(());
        }
        self.unchecked = 0;
        if self.cancel.is_cancelled() {
            return Err(Cancelled);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_sees_the_end_of_a_request_within_an_interval() {
        let (cancel, guard) = Cancel::on_drop();
        let mut meter = cancel.meter();
        assert_eq!(meter.spend(usize::MAX), Ok(()));
        drop(guard);
        assert_eq!(meter.spend(CHECK_INTERVAL as usize - 1), Ok(()));
        assert_eq!(meter.spend(1), Err(Cancelled));
        assert_eq!(Cancel::default().meter().spend(usize::MAX), Ok(()));
    }
}
