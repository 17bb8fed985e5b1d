//! Deliberate waits, and the decision points that they are counted from.

use std::time::Duration;

use crate::decision::Window;
use crate::forecast::DecisionPoint;
use crate::policy::Wait;
use crate::time::Time;

/// The decision point and the wait of the batch that would run next.
#[derive(Debug, Default)]
pub(super) struct Waits {
    point: Option<(Time, DecisionPoint)>,
    current: Option<CurrentWait>,
}

/// A deliberate wait that goes on.
#[derive(Clone, Copy, Debug)]
struct CurrentWait {
    since: Time,
    /// As chosen when the wait began.
    window: Window,
    /// Rows that were queued when the wait began.
    rows: usize,
}

impl Waits {
    /// Opens a decision point.
    pub(super) fn open(&mut self, now: Time, point: DecisionPoint) {
        self.point = Some((now, point));
    }

    /// The decision point that is open.
    pub(super) fn point(&self) -> Option<(Time, DecisionPoint)> {
        self.point
    }

    /// `true` while an executor waits deliberately.
    pub(super) fn is_waiting(&self) -> bool {
        self.current.is_some()
    }

    /// Returns the time from which [`Options::max_queue_delay`](crate::Options::max_queue_delay)
    /// counts. Another executor's completion opens a new decision point, and does not start the
    /// wait again.
    pub(super) fn since(&self, point: Time) -> Time {
        self.current
            .map_or(point, |current| current.since.min(point))
    }

    /// Begins a wait with `rows` rows queued, unless one goes on.
    pub(super) fn begin(&mut self, now: Time, wait: Wait, rows: usize) {
        self.current.get_or_insert(CurrentWait {
            since: now,
            window: Window {
                chosen: wait.until.since(now),
                expected_rows: wait.expected_rows,
                actual_rows: 0,
            },
            rows,
        });
    }

    /// Closes the decision point and ends the wait, because nothing is left to run.
    pub(super) fn abandon(&mut self) {
        *self = Waits::default();
    }

    /// Closes the decision point and ends the wait, because a batch of `rows` rows starts. Returns
    /// the length of the wait, and its window if there was one.
    pub(super) fn finish(&mut self, now: Time, rows: usize) -> (Duration, Option<Window>) {
        let Waits { current, .. } = std::mem::take(self);
        let Some(CurrentWait {
            since,
            window,
            rows: before,
        }) = current
        else {
            return (Duration::ZERO, None);
        };
        let window = Window {
            actual_rows: rows.saturating_sub(before),
            ..window
        };
        (now.since(since), Some(window))
    }
}
