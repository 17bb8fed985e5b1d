//! What callers and executor threads share: the scheduler and the calls in it, under one short lock.
//!
//! An executor thread asks the scheduler itself when it is free, so a batch is bound at the last moment and no task switch lies between two
//! batches. Replies and events leave after the lock is released.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::call::{Answer, Pending, Reply, Run};
use super::observer::BatchRan;
use super::{BatchError, Call, Event, Observer, Refused, RowError};
use crate::{
    Arrival, Batch, CallId, Decision, Measurement, Outcome, Row, Scheduler, Stats, Ticket, Time,
    Verdict,
};

/// How a run ended: with a result for each row, with an error, or with a panic's message.
pub(crate) enum Ended<O> {
    Returned(Result<Vec<Result<O, RowError>>, BatchError>),
    Panicked(String),
}

/// A batch on its way to an executor.
pub(crate) struct Work<R> {
    pub(crate) batch: Batch,
    pub(crate) callers: HashMap<CallId, Caller<R>>,
}

/// One of the calls that a batch carries rows of.
pub(crate) struct Caller<R> {
    rows: Arc<[R]>,
    pub(crate) span: tracing::Span,
}

impl<R> Work<R> {
    /// The rows, in the batch's order.
    pub(crate) fn rows(&self) -> Vec<&R> {
        self.batch
            .rows
            .iter()
            .filter_map(|row| self.callers.get(&row.call)?.rows.get(row.index))
            .collect()
    }
}

pub(crate) struct Shared<R, O> {
    pub(crate) name: Arc<str>,
    state: Mutex<State<R, O>>,
    /// Executor threads wait here for rows, windows and the end.
    changed: Condvar,
    origin: Instant,
    observer: Arc<dyn Observer>,
    /// Executor threads that have not ended.
    pub(crate) threads: watch::Sender<usize>,
}

struct State<R, O> {
    scheduler: Scheduler,
    calls: HashMap<CallId, Pending<R, O>>,
    /// Why the last executor died.
    death: Option<String>,
}

/// What leaves once the lock is released.
struct Outbox<O> {
    replies: Vec<Reply<O>>,
    events: Vec<Event>,
}

impl<O> Outbox<O> {
    fn new() -> Self {
        Outbox {
            replies: Vec::new(),
            events: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.events.is_empty()
    }

    fn send(self, observer: &dyn Observer) {
        for event in &self.events {
            observer.observe(event);
        }
        for (reply, result) in self.replies {
            // The caller may have gone away meanwhile: then nobody wants it.
            let _ = reply.send(result);
        }
    }
}

impl<R, O> State<R, O> {
    fn refuse_all(&mut self, refused: &Refused, outbox: &mut Outbox<O>) {
        for (_, pending) in self.calls.drain() {
            outbox.events.push(Event::RowsFailed {
                rows: pending.missing(),
            });
            outbox.replies.push(pending.refuse(refused.clone()));
        }
    }

    /// Answers the calls whose rows the scheduler gave up, whole: all rows of a call have one deadline.
    fn answer_dropped(&mut self, outbox: &mut Outbox<O>) {
        for row in self.scheduler.take_dropped() {
            if let Some(pending) = self.calls.remove(&row.call) {
                self.scheduler.expire(&pending.ticket);
                outbox.events.push(Event::Expired {
                    rows: pending.missing(),
                });
                outbox
                    .replies
                    .push(pending.refuse(Refused::DeadlineExceeded));
            }
        }
    }

    fn answer(
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

    fn lock(&self) -> MutexGuard<'_, State<R, O>> {
        // A panic under the lock would be a defect of ours; state is consistent between the scheduler's calls, so going on beats failing all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        self.time(Instant::now())
    }

    fn time(&self, instant: Instant) -> Time {
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

    /// Blocks an executor thread until it has work; `None` once everything is drained.
    pub(crate) fn next(&self) -> Option<Work<R>> {
        let mut state = self.lock();
        loop {
            let now = self.now();
            let decision = state.scheduler.poll(now);
            let mut outbox = Outbox::new();
            state.answer_dropped(&mut outbox);
            if let Decision::Run(batch) = decision {
                let mut callers = HashMap::new();
                for row in &batch.rows {
                    if let Some(pending) = state.calls.get(&row.call) {
                        callers.entry(row.call).or_insert_with(|| Caller {
                            rows: pending.rows.clone(),
                            span: pending.span.clone(),
                        });
                    }
                }
                drop(state);
                outbox.send(&*self.observer);
                return Some(Work { batch, callers });
            }
            if !outbox.is_empty() {
                drop(state);
                outbox.send(&*self.observer);
                state = self.lock();
                continue;
            }
            if state.scheduler.is_drained() {
                return None;
            }
            state = match decision {
                Decision::WaitUntil(until) => {
                    let wait = self.changed.wait_timeout(state, until.since(now));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                Decision::Idle | Decision::Run(_) => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// An executor thread ended a run.
    pub(crate) fn finish(&self, work: Work<R>, started: Instant, ended: Ended<O>) {
        let Batch {
            id,
            rows,
            tokens,
            cause,
            waited,
            window,
        } = work.batch;
        let (outcome, outputs, error) = match ended {
            Ended::Returned(Ok(outputs)) if outputs.len() == rows.len() => {
                (Outcome::Done, outputs, None)
            }
            Ended::Returned(Ok(outputs)) => {
                let message = format!(
                    "the model gave {} answers for {} rows",
                    outputs.len(),
                    rows.len()
                );
                (Outcome::Failed, Vec::new(), Some(RowError::Failed(message)))
            }
            Ended::Returned(Err(BatchError::Failed(message))) => {
                (Outcome::Failed, Vec::new(), Some(RowError::Failed(message)))
            }
            Ended::Returned(Err(BatchError::OutOfMemory)) => {
                let tokens = rows.iter().map(|row| row.tokens).max().unwrap_or_default();
                (
                    Outcome::OutOfMemory,
                    Vec::new(),
                    Some(RowError::OutOfMemory { tokens }),
                )
            }
            Ended::Panicked(message) => (
                Outcome::Crashed,
                Vec::new(),
                Some(RowError::Crashed(message)),
            ),
        };
        let mut outbox = Outbox::new();
        let mut state = self.lock();
        let now = self.now();
        let verdict = state.scheduler.complete(now, id, outcome);
        let started = self.time(started);
        let compute_time = now.since(started);
        let run = Run {
            started,
            compute_time,
            rows: rows.len(),
            tokens,
            deliberate_wait: waited,
            cause,
        };
        match (verdict, error) {
            (Verdict::Answer, _) => state.answer(&rows, outputs.into_iter(), &run, &mut outbox),
            (Verdict::Retry, _) if outcome == Outcome::OutOfMemory => {
                outbox.events.push(Event::MemorySplit {
                    rows: rows.len(),
                    tokens,
                })
            }
            (Verdict::Retry, _) => outbox.events.push(Event::Bisected { rows: rows.len() }),
            (Verdict::Fail, error) => {
                let error =
                    error.unwrap_or_else(|| RowError::Failed("the batch is unknown".to_owned()));
                outbox.events.push(Event::RowsFailed { rows: rows.len() });
                state.answer(
                    &rows,
                    std::iter::repeat_with(|| Err(error.clone())),
                    &run,
                    &mut outbox,
                );
            }
        }
        if verdict == Verdict::Answer {
            outbox.events.push(Event::BatchRan(BatchRan {
                rows: rows.len(),
                tokens,
                compute_time,
                cause,
                deliberate_wait: waited,
                window,
                queue_times: rows.iter().map(|row| started.since(row.arrived)).collect(),
                queue_depth: state.scheduler.queued(),
            }));
        }
        drop(state);
        // Halves may be there for other executors, and the last one out lets the others end.
        self.changed.notify_all();
        outbox.send(&*self.observer);
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
