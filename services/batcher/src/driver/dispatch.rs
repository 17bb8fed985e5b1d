//! The way of a batch to an executor thread, and of its result back to the callers.

use std::collections::HashMap;
use std::sync::PoisonError;

use tokio::time::Instant;

use super::call::{Caller, FinishedRun};
use super::executor::{BatchError, RowError};
use super::observer::{BatchRan, Event};
use super::shared::Shared;
use super::state::Outbox;
use crate::decision::{Batch, Cause, Decision, Outcome, Verdict};
use crate::row::{CallId, Row};
use crate::scheduler::ExecutorKind;

/// The result of a run: one result for each row, an error of the batch, or the message of a panic.
pub(crate) enum RunResult<O> {
    Returned(Result<Vec<Result<O, RowError>>, BatchError>),
    Panicked(String),
}

impl<O> RunResult<O> {
    /// Returns the reason for which the executor cannot go on as it is: a panic, or a device that
    /// is lost.
    pub(crate) fn crash(&self) -> Option<String> {
        match self {
            RunResult::Panicked(message) => Some(message.clone()),
            RunResult::Returned(Err(error @ BatchError::DeviceLost(_))) => Some(error.to_string()),
            RunResult::Returned(_) => None,
        }
    }

    /// Returns how the batch ended, with the outputs or the error of its rows.
    fn outcome(self, rows: &[Row]) -> (Outcome, Result<Vec<Result<O, RowError>>, RowError>) {
        match self {
            RunResult::Returned(Ok(outputs)) if outputs.len() == rows.len() => {
                (Outcome::Done, Ok(outputs))
            }
            RunResult::Returned(Ok(outputs)) => {
                let (answers, rows) = (outputs.len(), rows.len());
                let message = format!("the model gave {answers} answers for {rows} rows");
                (Outcome::Failed, Err(RowError::Failed(message)))
            }
            RunResult::Returned(Err(BatchError::Failed(message))) => {
                (Outcome::Failed, Err(RowError::Failed(message)))
            }
            RunResult::Returned(Err(BatchError::OutOfMemory)) => {
                let tokens = rows.iter().map(|row| row.tokens).max().unwrap_or_default();
                (Outcome::OutOfMemory, Err(RowError::OutOfMemory { tokens }))
            }
            RunResult::Returned(Err(BatchError::DeviceLost(words))) => {
                (Outcome::Crashed, Err(RowError::DeviceLost(words)))
            }
            RunResult::Panicked(message) => (Outcome::Crashed, Err(RowError::Crashed(message))),
        }
    }
}

/// A batch for an executor, with the rows of its calls.
pub(crate) struct Assignment<R> {
    pub(crate) batch: Batch,
    pub(crate) kind: ExecutorKind,
    pub(crate) callers: HashMap<CallId, Caller<R>>,
}

impl<R> Assignment<R> {
    /// Returns the rows, in the batch's order.
    pub(crate) fn rows(&self) -> Vec<&R> {
        self.batch
            .rows
            .iter()
            .filter_map(|row| self.callers.get(&row.call)?.rows.get(row.index))
            .collect()
    }
}

impl<R: Send + Sync + 'static, O: Send + 'static> Shared<R, O> {
    /// Blocks an executor thread until it has a batch; `None` once everything is drained.
    pub(crate) fn next_batch(&self, kind: ExecutorKind) -> Option<Assignment<R>> {
        let changed = self.changed(kind);
        let mut state = self.lock();
        loop {
            let now = self.now();
            let decision = match kind {
                ExecutorKind::General => state.scheduler.poll(now),
                ExecutorKind::Bulk => state.scheduler.poll_bulk(now),
            };
            let mut outbox = Outbox::new();
            state.refuse_dropped(&mut outbox);
            if let Decision::Run(batch) = decision {
                let callers = state.callers(&batch.rows);
                drop(state);
                outbox.send(&*self.observer);
                return Some(Assignment {
                    batch,
                    kind,
                    callers,
                });
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
                    let wait = changed.wait_timeout(state, until.since(now));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                Decision::Idle | Decision::Run(_) => {
                    changed.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// Reports the end of a batch to the scheduler, and answers its callers.
    pub(crate) fn complete(
        &self,
        assignment: Assignment<R>,
        started: Instant,
        result: RunResult<O>,
    ) {
        let Assignment { batch, kind, .. } = assignment;
        let (outcome, outputs) = result.outcome(&batch.rows);
        let mut outbox = Outbox::new();
        let mut state = self.lock();
        let now = self.now();
        let was_serving = state.scheduler.is_serving();
        let gave_way = state.scheduler.gave_way(now, batch.id);
        let verdict = state.scheduler.complete(now, batch.id, outcome);
        if !was_serving && state.scheduler.is_serving() {
            outbox.events.push(Event::Recovered);
        }
        let started = self.time(started);
        let run = FinishedRun {
            started,
            compute_time: now.since(started).saturating_sub(gave_way),
            rows: batch.rows.len(),
            tokens: batch.tokens,
            deliberate_wait: batch.deliberate_wait,
            cause: batch.cause,
        };
        match (verdict, outputs) {
            (Verdict::Answer, Ok(outputs)) => {
                state.answer(&batch.rows, outputs.into_iter(), &run, &mut outbox);
            }
            (Verdict::Answer | Verdict::Fail, outputs) => {
                let error = outputs.err().unwrap_or_else(unknown_batch);
                let errors = std::iter::repeat_with(|| Err(error.clone()));
                state.answer(&batch.rows, errors, &run, &mut outbox);
            }
            (Verdict::Retry, _) => {}
        }
        let is_drained = state.scheduler.is_drained();
        drop(state);
        // The executor that finishes last lets the others end, and the halves of a failed batch may
        // run on other executors.
        if is_drained {
            self.wake_all();
        } else if kind == ExecutorKind::General || verdict == Verdict::Retry {
            self.changed(ExecutorKind::General).notify_all();
        }
        outbox.events.extend(event(batch, verdict, outcome, &run));
        outbox.send(&*self.observer);
    }
}

/// Returns the error of the rows of a batch that the scheduler does not know, which is a defect.
fn unknown_batch() -> RowError {
    RowError::Failed("the batch is unknown".to_owned())
}

/// Returns the event of a batch that ended; `None` for a trial that failed, whose row no caller
/// misses.
fn event(batch: Batch, verdict: Verdict, outcome: Outcome, run: &FinishedRun) -> Option<Event> {
    let (rows, tokens) = (run.rows, run.tokens);
    Some(match verdict {
        Verdict::Answer => Event::BatchRan(BatchRan {
            rows,
            tokens,
            compute_time: run.compute_time,
            cause: run.cause,
            deliberate_wait: run.deliberate_wait,
            window: batch.window,
            queue_times: batch
                .rows
                .iter()
                .map(|row| run.started.since(row.arrived))
                .collect(),
        }),
        Verdict::Retry if outcome == Outcome::OutOfMemory => Event::MemorySplit { rows, tokens },
        Verdict::Retry => Event::Bisected { rows },
        Verdict::Fail if run.cause == Cause::Trial => return None,
        Verdict::Fail => Event::RowsFailed { rows },
    })
}
