//! What callers and executor threads share: the scheduler and the calls in it, under one short lock.
//!
//! An executor thread asks the scheduler itself when it is free, so a batch is bound at the last moment and no task switch lies between two
//! batches. Replies and events leave after the lock is released.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::call::{Answer, Pending};
use super::state::{Outbox, State};
use super::sync::{Condvar, Mutex, MutexGuard};
use super::{Call, Event, Observer, Refused};
use crate::{Arrival, Measurement, Scheduler, Stats, Ticket, Time};

pub(crate) struct Shared<R, O> {
    pub(crate) name: Arc<str>,
    state: Mutex<State<R, O>>,
    /// Executor threads wait here for rows, windows and the end.
    pub(super) changed: Condvar,
    origin: Instant,
    pub(super) observer: Arc<dyn Observer>,
    /// Executor threads that have not ended.
    pub(crate) threads: watch::Sender<usize>,
}

impl<R: Send + Sync + 'static, O: Send + 'static> Shared<R, O> {
    pub(crate) fn new(
        name: Arc<str>,
        scheduler: Scheduler,
        observer: Arc<dyn Observer>,
        threads: usize,
    ) -> Self {
        Shared {
            name,
            state: Mutex::new(State {
                scheduler,
                calls: HashMap::new(),
                death: None,
            }),
            changed: Condvar::new(),
            origin: Instant::now(),
            observer,
            threads: watch::Sender::new(threads),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<R, O>> {
        // A panic under the lock would be a defect of ours; state is consistent between the scheduler's calls, so going on beats failing all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Time {
        self.time(Instant::now())
    }

    pub(super) fn time(&self, instant: Instant) -> Time {
        Time::ZERO.after(instant.saturating_duration_since(self.origin))
    }

    /// The instant of a time, unless it is too far away to have one.
    pub(crate) fn instant(&self, time: Time) -> Option<Instant> {
        self.origin.checked_add(time.since(Time::ZERO))
    }

    /// Queues a call; its answer comes through the receiver.
    pub(crate) fn admit(
        &self,
        call: Call<R>,
    ) -> Result<(Ticket, oneshot::Receiver<Answer<O>>), Refused> {
        let (rows, tokens): (Vec<R>, Vec<u32>) = call.rows.into_iter().unzip();
        let rows: Arc<[R]> = rows.into();
        let (reply, receiver) = oneshot::channel();
        let deadline = call
            .deadline
            .map(|deadline| self.time(Instant::from_std(deadline)));
        let mut state = self.lock();
        let now = self.now();
        match state.scheduler.admit(
            now,
            Arrival {
                tokens: &tokens,
                deadline,
                priority: call.priority,
                lookahead: call.lookahead,
            },
        ) {
            Ok(ticket) => {
                state
                    .calls
                    .insert(ticket.call, Pending::new(ticket, rows, now, reply));
                drop(state);
                self.changed.notify_all();
                Ok((ticket, receiver))
            }
            Err(refusal) => {
                let refused = Refused::from_refusal(refusal, state.death.as_deref());
                drop(state);
                self.observer.observe(&Event::Refused {
                    reason: refused.clone(),
                    rows: tokens.len(),
                });
                Err(refused)
            }
        }
    }

    /// Forgets a call that nobody waits for: gone away, or expired.
    pub(crate) fn forget(&self, ticket: &Ticket, expired: bool) {
        let mut state = self.lock();
        let Some(pending) = state.calls.remove(&ticket.call) else {
            return;
        };
        if expired {
            state.scheduler.expire(ticket);
        } else {
            state.scheduler.cancel(ticket);
        }
        drop(state);
        self.changed.notify_all();
        let rows = pending.missing();
        self.observer.observe(&if expired {
            Event::Expired { rows }
        } else {
            Event::Cancelled { rows }
        });
    }

    /// An executor panicked.
    pub(crate) fn crashed(&self, executor: usize, message: String) {
        tracing::error!(model = %self.name, executor, %message, "the model crashed; it is being rebuilt");
        self.observer
            .observe(&Event::ExecutorCrashed { executor, message });
    }

    /// An executor is gone for good; the last one takes every call with it.
    pub(crate) fn died(&self, executor: usize, message: String) {
        tracing::error!(model = %self.name, executor, %message, "the model could not be rebuilt");
        let mut outbox = Outbox::new();
        let mut state = self.lock();
        state.scheduler.retire_executor();
        if state.scheduler.executors() == 0 {
            state.refuse_all(
                &Refused::ExecutorDied {
                    reason: message.clone(),
                },
                &mut outbox,
            );
            state.scheduler.clear();
            state.death = Some(message.clone());
        }
        drop(state);
        outbox
            .events
            .push(Event::ExecutorDied { executor, message });
        outbox.send(&*self.observer);
    }

    /// An executor thread ends.
    pub(crate) fn ended(&self) {
        self.changed.notify_all();
        self.threads.send_modify(|threads| *threads -= 1);
    }

    pub(crate) fn hurry(&self) {
        self.lock().scheduler.hurry();
        self.changed.notify_all();
    }

    pub(crate) fn drain(&self) {
        self.lock().scheduler.drain();
        self.changed.notify_all();
    }

    pub(crate) fn calibrate(&self, measurements: &[Measurement]) {
        self.lock().scheduler.calibrate(measurements);
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().scheduler.stats()
    }
}
