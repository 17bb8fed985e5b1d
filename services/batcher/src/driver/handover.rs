//! How a batch goes to an executor thread, and how what came of it comes back.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use super::call::Run;
use super::observer::BatchRan;
use super::shared::Shared;
use super::state::Outbox;
use super::{BatchError, Event, RowError};
use crate::{Batch, CallId, Decision, Outcome, Verdict};

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

impl<R: Send + Sync + 'static, O: Send + 'static> Shared<R, O> {
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
            }));
        }
        drop(state);
        // Halves may be there for other executors, and the last one out lets the others end.
        self.changed.notify_all();
        outbox.send(&*self.observer);
    }
}
