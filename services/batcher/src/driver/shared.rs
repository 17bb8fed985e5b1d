//! The state that callers and executor threads share: the scheduler and its calls, under one lock
//! that is held briefly.
//!
//! An executor thread polls the scheduler itself when it is free, so a batch is formed at the last
//! moment, and there is no task switch between two batches. Replies and events leave after the lock
//! is released.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::call::{Answer, Call, Caller, Pending};
use super::observer::{Event, Observer};
use super::state::{Outbox, State};
use super::sync::{Condvar, Mutex, MutexGuard};
use crate::arrival::{Arrival, Ticket};
use crate::cost::Measurement;
use crate::refusal::Refusal;
use crate::row::Priority;
use crate::scheduler::{ExecutorKind, Scheduler, Stuck};
use crate::stats::Stats;
use crate::time::Time;

pub(crate) struct Shared<R, O> {
    pub(crate) name: Arc<str>,
    state: Mutex<State<R, O>>,
    /// Wakes executor threads for new rows, the end of a window, and the end of the batcher.
    changed: Condvar,
    /// The same for threads of bulk executors.
    bulk_changed: Condvar,
    origin: Instant,
    pub(super) observer: Arc<dyn Observer>,
    /// Number of executor threads that have not ended.
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
                trial: None,
            }),
            changed: Condvar::new(),
            bulk_changed: Condvar::new(),
            origin: Instant::now(),
            observer,
            threads: watch::Sender::new(threads),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<R, O>> {
        // Only a defect panics under the lock. The state is consistent between calls of the
        // scheduler, so going on is better than failing every call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Time {
        self.time(Instant::now())
    }

    pub(super) fn time(&self, instant: Instant) -> Time {
        Time::ZERO.after(instant.saturating_duration_since(self.origin))
    }

    /// Returns the instant of a time; `None` if it is too far in the future for an instant.
    pub(crate) fn instant(&self, time: Time) -> Option<Instant> {
        self.origin.checked_add(time.since(Time::ZERO))
    }

    /// Queues a call; its answer comes through the receiver.
    pub(crate) fn admit(
        &self,
        call: Call<R>,
    ) -> Result<(Ticket, oneshot::Receiver<Answer<O>>), Refusal> {
        let (rows, tokens): (Vec<R>, Vec<u32>) = call.rows.into_iter().unzip();
        let rows: Arc<[R]> = rows.into();
        let (reply, receiver) = oneshot::channel();
        let deadline = call
            .deadline
            .map(|deadline| self.time(Instant::from_std(deadline)));
        let mut state = self.lock();
        let now = self.now();
        let arrival = Arrival {
            tokens: &tokens,
            groups: &call.groups,
            deadline,
            priority: call.priority,
            flow: call.flow,
            lookahead: call.lookahead,
        };
        match state.scheduler.admit(now, arrival) {
            Ok(ticket) => {
                state
                    .calls
                    .insert(ticket.call, Pending::new(rows, now, reply));
                self.wake_free_executors(state, call.priority);
                Ok((ticket, receiver))
            }
            Err(refusal) => {
                let is_too_short = matches!(refusal, Refusal::DeadlineTooShort { .. });
                if is_too_short && let Some(trial) = state.scheduler.queue_trial(now, &arrival) {
                    state.trial = Some((trial, Caller::new(rows)));
                    self.wake_free_executors(state, Priority::Interactive);
                } else {
                    drop(state);
                }
                self.observer.observe(&Event::Refused {
                    refusal: refusal.clone(),
                    rows: tokens.len(),
                });
                Err(refusal)
            }
        }
    }

    /// Removes a call whose caller no longer waits: it cancelled, or its deadline came.
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
        self.wake_free_executors(state, Priority::Interactive);
        let rows = pending.missing();
        self.observer.observe(&if expired {
            Event::Expired { rows }
        } else {
            Event::Cancelled { rows }
        });
    }

    /// Releases the lock and wakes the executor threads that have no batch, if there are any, for
    /// rows of this priority: under load none waits for a change of the queue, and a wake-up of
    /// nobody is a system call, too.
    fn wake_free_executors(&self, state: MutexGuard<'_, State<R, O>>, priority: Priority) {
        let is_for_bulk = priority == Priority::Bulk && state.scheduler.has_bulk_executors();
        let (free, changed) = match is_for_bulk {
            true => (state.scheduler.free_bulk_executors(), &self.bulk_changed),
            false => (state.scheduler.free_executors(), &self.changed),
        };
        drop(state);
        if free > 0 {
            changed.notify_all();
        }
    }

    /// Returns what wakes the threads of executors of this kind.
    pub(super) fn changed(&self, kind: ExecutorKind) -> &Condvar {
        match kind {
            ExecutorKind::General => &self.changed,
            ExecutorKind::Bulk => &self.bulk_changed,
        }
    }

    /// Wakes all executor threads that wait.
    pub(super) fn wake_all(&self) {
        self.changed.notify_all();
        self.bulk_changed.notify_all();
    }

    /// Reports that an executor panicked, or lost its device.
    pub(crate) fn crashed(&self, executor: usize, message: String) {
        let model = &*self.name;
        tracing::error!(model, executor, %message, "the model crashed; it is being rebuilt");
        self.observer
            .observe(&Event::ExecutorCrashed { executor, message });
    }

    /// Retires an executor that cannot be rebuilt; without any, every call is refused.
    pub(crate) fn died(&self, executor: usize, kind: ExecutorKind, message: String) {
        tracing::error!(model = %self.name, executor, %message, "the model could not be rebuilt");
        let mut outbox = Outbox::new();
        let mut state = self.lock();
        match kind {
            ExecutorKind::General => state.scheduler.retire_executor(&message),
            ExecutorKind::Bulk => state.scheduler.retire_bulk_executor(),
        }
        if state.scheduler.executors() == 0 {
            let reason = message.as_str().into();
            state.refuse_all(&Refusal::ExecutorDied { reason }, &mut outbox);
            state.scheduler.clear();
        }
        let left = state.scheduler.executors();
        drop(state);
        // Those that are left may run its rows.
        self.wake_all();
        outbox.events.push(Event::ExecutorDied {
            executor,
            left,
            message,
        });
        outbox.send(&*self.observer);
    }

    /// Refuses the calls of batches that have become stuck; every call if no executor is left.
    pub(crate) fn find_stuck(&self) {
        let mut outbox = Outbox::new();
        let mut state = self.lock();
        let now = self.now();
        let Some(stuck) = state.scheduler.find_stuck(now) else {
            return;
        };
        let Stuck {
            calls,
            refusal,
            is_last,
        } = stuck;
        if is_last {
            state.refuse_all(&refusal, &mut outbox);
        } else {
            state.refuse(&calls, &refusal, &mut outbox);
        }
        drop(state);
        tracing::error!(model = %self.name, error = %refusal, "the model is stuck");
        outbox.events.push(Event::Stuck { is_last, refusal });
        outbox.send(&*self.observer);
    }

    /// Takes note that an executor thread ends.
    pub(crate) fn ended(&self) {
        self.wake_all();
        self.threads.send_modify(|threads| *threads -= 1);
    }

    pub(crate) fn hurry(&self) {
        self.lock().scheduler.hurry();
        self.wake_all();
    }

    pub(crate) fn drain(&self) {
        self.lock().scheduler.drain();
        self.wake_all();
    }

    pub(crate) fn calibrate(&self, measurements: &[Measurement]) {
        self.lock().scheduler.calibrate(measurements);
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().scheduler.stats()
    }
}
