//! The state under the driver's lock, and the replies and events that leave after it.

use std::collections::{HashMap, HashSet};

use super::call::{Caller, FinishedRun, Pending, Reply};
use super::executor::RowError;
use super::observer::{Event, Observer};
use crate::decision::Dropped;
use crate::refusal::Refusal;
use crate::row::{CallId, Row};
use crate::scheduler::Scheduler;

/// The state under the lock.
pub(super) struct State<R, O> {
    pub(super) scheduler: Scheduler,
    /// The calls without an answer.
    pub(super) calls: HashMap<CallId, Pending<R, O>>,
    /// The call of the row that waits for its trial; it has been refused already.
    pub(super) trial: Option<(CallId, Caller<R>)>,
}

/// Replies and events that leave once the lock is released.
pub(super) struct Outbox<O> {
    pub(super) replies: Vec<Reply<O>>,
    pub(super) events: Vec<Event>,
}

impl<O> Outbox<O> {
    pub(super) fn new() -> Self {
        Outbox {
            replies: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.events.is_empty()
    }

    pub(super) fn send(self, observer: &dyn Observer) {
        // Replies first: callers wait for them.
        for (reply, result) in self.replies {
            // The receiver is gone if the caller cancelled meanwhile.
            let _ = reply.send(result);
        }
        for event in &self.events {
            observer.observe(event);
        }
    }
}

impl<R, O> State<R, O> {
    /// Returns the calls that the rows belong to.
    pub(super) fn callers(&mut self, rows: &[Row]) -> HashMap<CallId, Caller<R>> {
        let mut callers = HashMap::new();
        for row in rows {
            callers.extend(self.trial.take_if(|(call, _)| *call == row.call));
            if let Some(pending) = self.calls.get(&row.call) {
                callers
                    .entry(row.call)
                    .or_insert_with(|| Caller::of(pending));
            }
        }
        callers
    }

    /// Refuses every call.
    pub(super) fn refuse_all(&mut self, refusal: &Refusal, outbox: &mut Outbox<O>) {
        for (_, pending) in self.calls.drain() {
            outbox.events.push(Event::RowsFailed {
                rows: pending.missing(),
            });
            outbox.replies.push(pending.refuse(refusal.clone()));
        }
        self.trial = None;
    }

    /// Refuses some calls.
    pub(super) fn refuse(&mut self, calls: &[CallId], refusal: &Refusal, outbox: &mut Outbox<O>) {
        for call in calls {
            if let Some(pending) = self.calls.remove(call) {
                outbox.events.push(Event::RowsFailed {
                    rows: pending.missing(),
                });
                outbox.replies.push(pending.refuse(refusal.clone()));
            }
        }
    }

    /// Refuses the calls of the rows that the scheduler gave up, whole: all rows of a call have one
    /// deadline.
    pub(super) fn refuse_dropped(&mut self, outbox: &mut Outbox<O>) {
        for Dropped { row, refusal } in self.scheduler.take_dropped() {
            if let Some(pending) = self.calls.remove(&row.call) {
                outbox.events.push(Event::Expired {
                    rows: pending.missing(),
                });
                outbox.replies.push(pending.refuse(refusal));
            }
        }
    }

    /// Answers the rows of a run; a call whose last row is answered gets its reply.
    pub(super) fn answer(
        &mut self,
        rows: &[Row],
        outputs: impl Iterator<Item = Result<O, RowError>>,
        run: &FinishedRun,
        outbox: &mut Outbox<O>,
    ) {
        let mut recorded = HashSet::new();
        for (row, output) in rows.iter().zip(outputs) {
            let Some(pending) = self.calls.get_mut(&row.call) else {
                continue;
            };
            if recorded.insert(row.call) {
                pending.record_run(run);
            }
            pending.answer(row.index, output);
            if pending.missing() == 0
                && let Some(pending) = self.calls.remove(&row.call)
            {
                outbox.replies.push(pending.finish());
            }
        }
    }
}
