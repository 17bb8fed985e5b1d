//! Cancellation of computations: one on a blocking thread stops when its request ends, and gives
//! way to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::pool::Turn;

/// Operations between two reads of the flag, about a millisecond.
const CHECK_INTERVAL: u64 = 1 << 20;

/// Error of a computation whose request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request has ended")]
pub struct Cancelled;

/// Cancellation flag of a computation, set when its request ends. The default is never set.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    flag: Option<Arc<AtomicBool>>,
    /// The turn in which it computes, if it takes turns.
    turn: Option<Arc<Turn>>,
}

/// Guard that sets the flag of a [`Cancel`] when it is dropped.
#[derive(Debug)]
pub struct CancelOnDrop(Arc<AtomicBool>);

impl Cancel {
    /// Returns a flag and its guard.
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
        let cancel = Self {
            flag: Some(flag.clone()),
            turn: None,
        };
        (cancel, CancelOnDrop(flag))
    }

    /// Returns the same flag for a computation that takes turns with others.
    pub(super) fn in_turn(self, turn: Turn) -> Self {
        Self {
            turn: Some(Arc::new(turn)),
            ..self
        }
    }

    /// Returns whether the request has ended.
    pub fn is_cancelled(&self) -> bool {
        // The flag guards no other data, so no ordering is needed.
        self.flag
            .as_ref()
            .is_some_and(|f| f.load(Ordering::Relaxed))
    }

    /// Returns a counter of operations that reads the flag at intervals.
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

/// Counter of the operations of a loop, which once every `CHECK_INTERVAL` operations reads the flag
/// and gives way to computations that wait for their turn.
#[derive(Debug)]
pub struct Meter<'c> {
    cancel: &'c Cancel,
    unchecked: u64,
}

impl Meter<'_> {
    /// Counts `operations` before they run.
    ///
    /// # Errors
    /// When the request has ended.
    pub fn spend(&mut self, operations: usize) -> Result<(), Cancelled> {
        self.unchecked = self.unchecked.saturating_add(operations as u64);
        if self.unchecked < CHECK_INTERVAL {
            return Ok(());
        }
        self.unchecked = 0;
        if let Some(turn) = &self.cancel.turn {
            turn.give_way();
        }
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
