//! The watchdog: batches that run many times longer than they should.
//!
//! Nothing can end a batch on a device or thread that hangs. Its callers are refused, and while no
//! other executor is left, everyone is. When it ends after all, its executor serves again. Another
//! executor is not built beside one that hangs: the thread of the latter still holds the memory,
//! the cores and the device that the new one would need, and would hang on, too.

use std::time::Duration;

use super::{ExecutorKind, Scheduler, Stage};
use crate::refusal::Refusal;
use crate::row::{CallId, Row};
use crate::time::Time;

/// A batch is stuck after so many times its expected time.
const TIMES: f64 = 10.0;

/// Batches that have become stuck.
#[derive(Clone, Debug, PartialEq)]
pub struct Stuck {
    /// The calls that had rows in them; all their rows have left.
    pub calls: Vec<CallId>,
    /// The refusal of these calls.
    pub refusal: Refusal,
    /// `true` if no other executor is left: every call is refused.
    pub is_last: bool,
}

impl Scheduler {
    /// Returns the time after which a batch with this expected time is stuck.
    pub(super) fn stuck_after(&self, expected_seconds: f64) -> Duration {
        let times = Duration::try_from_secs_f64(TIMES * expected_seconds);
        times.unwrap_or(Duration::MAX).max(self.options.stuck_after)
    }

    /// Finds the batches that have become stuck since the last call: removes their calls, and all
    /// others where no executor is left.
    pub fn find_stuck(&mut self, now: Time) -> Option<Stuck> {
        let mut calls = Vec::new();
        let mut longest = Duration::ZERO;
        let none_is_before = self.running_on(ExecutorKind::General) == 0;
        for running in &mut self.running {
            // One on a bulk executor may be giving way.
            let may_run = running.on == ExecutorKind::General || none_is_before;
            if may_run && !running.is_stuck && running.stuck_at <= now {
                running.is_stuck = true;
                longest = longest.max(now.since(running.started));
                calls.extend(running.rows.iter().map(|row| row.call));
            }
        }
        if longest.is_zero() {
            return None;
        }
        calls.dedup();
        for &call in &calls {
            let waiting: Vec<Row> = self.take_waiting(call);
            let left = waiting.len() + self.abandon(call);
            self.stats.rows_failed += left as u64;
        }
        let is_last = self.stuck_executors() >= self.executors;
        if is_last {
            self.clear();
        }
        Some(Stuck {
            calls,
            refusal: Refusal::Stuck { running: longest },
            is_last,
        })
    }

    /// Number of executors whose batch is stuck, without bulk executors.
    pub(super) fn stuck_executors(&self) -> usize {
        self.stuck_on(ExecutorKind::General)
    }

    /// Number of executors of a kind whose batch is stuck.
    pub(super) fn stuck_on(&self, kind: ExecutorKind) -> usize {
        let running = self.running.iter().filter(|running| running.on == kind);
        running.filter(|running| running.is_stuck).count()
    }

    /// The refusal of every call while no executor is left that is not stuck.
    pub(super) fn check_stuck(&self, now: Time) -> Result<(), Refusal> {
        let stuck = self.running.iter().filter(|running| running.is_stuck);
        let oldest = stuck.map(|running| running.started).min();
        match oldest.filter(|_| self.stuck_executors() >= self.executors) {
            None => Ok(()),
            Some(oldest) => Err(Refusal::Stuck {
                running: now.since(oldest),
            }),
        }
    }

    /// `true` while calls are admitted and some executor can run them.
    pub fn is_serving(&self) -> bool {
        self.stage == Stage::Serving && self.stuck_executors() < self.executors
    }
}
