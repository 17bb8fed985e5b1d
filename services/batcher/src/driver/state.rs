//! What the lock guards, and what leaves once it is released.

use std::collections::HashMap;

use super::call::{Pending, Reply, Run};
use super::{Event, Observer, Refused, RowError};
use crate::{CallId, Dropped, Row, Scheduler};

pub(super) struct State<R, O> {
    pub(super) scheduler: Scheduler,
    pub(super) calls: HashMap<CallId, Pending<R, O>>,
    /// Why the last executor died.
    pub(super) death: Option<String>,
}

/// What leaves once the lock is released.
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
        // Callers first: they wait.
        for (reply, result) in self.replies {
            // One may have gone away meanwhile: then nobody wants it.
            let _ = reply.send(result);
        }
        for event in &self.events {
            observer.observe(event);
        }
    }
}

impl<R, O> State<R, O> {
    pub(super) fn refuse_all(&mut self, refused: &Refused, outbox: &mut Outbox<O>) {
        for (_, pending) in self.calls.drain() {
            outbox.events.push(Event::RowsFailed {
                rows: pending.missing(),
            });
            outbox.replies.push(pending.refuse(refused.clone()));
        }
    }

    /// Answers the calls whose rows the scheduler gave up, whole: all rows of a call have one deadline.
    pub(super) fn answer_dropped(&mut self, outbox: &mut Outbox<O>) {
        for Dropped { row, refusal } in self.scheduler.take_dropped() {
            if let Some(pending) = self.calls.remove(&row.call) {
                self.scheduler.expire(&pending.ticket);
                outbox.events.push(Event::Expired {
                    rows: pending.missing(),
                });
                let refused = Refused::from_refusal(refusal, None);
                outbox.replies.push(pending.refuse(refused));
            }
        }
    }

    pub(super) fn answer(
        &mut self,
        rows: &[Row],
        outputs: impl Iterator<Item = Result<O, RowError>>,
        run: &Run,
        outbox: &mut Outbox<O>,
    ) {
        let mut ridden: HashMap<CallId, ()> = HashMap::new();
        for (row, output) in rows.iter().zip(outputs) {
            let Some(pending) = self.calls.get_mut(&row.call) else {
                continue;
            };
            if ridden.insert(row.call, ()).is_none() {
                pending.ride(run);
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
