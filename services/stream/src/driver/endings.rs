//! Endings of jobs, which the core is told.

use motet_rows::Failure;
use motet_runtime::metrics::StreamErrorKind;
use tokio::time::Instant;

use super::Loop;
use super::jobs::{self, Done};
use crate::broker::{BrokerError, Sink, Source, StoreError, Stored};
use crate::calls::Calls;
use crate::core::MessageId;

impl<B: Source + Sink, C: Calls> Loop<B, C> {
    pub(super) fn ended(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                // Calls of a pipeline that panic are caught before: this is a defect.
                tracing::error!(stream = self.driver.name, %error, "a job of a stream panicked");
                if self.pulling == Some(error.id()) {
                    self.pulled(Err(BrokerError::of(error)));
                }
                return;
            }
        };
        let now = self.now();
        match done {
            Done::Pull(result) => self.pulled(result),
            Done::Attempt(ids, Ok(answers)) => {
                for (id, answer) in ids.into_iter().zip(answers) {
                    if let Some(held) = self.held.get_mut(&id) {
                        held.answer = Some(answer);
                        self.core.answered(id);
                    }
                }
            }
            Done::Attempt(ids, Err(failure)) => {
                for id in ids {
                    self.failed(id, failure.clone());
                }
            }
            Done::Store(id, Ok(stored)) => {
                self.connected(true);
                let is_acknowledged = stored == Stored::AndAcknowledged;
                self.core.stored(now, id, true, is_acknowledged);
                if is_acknowledged {
                    self.held.remove(&id);
                }
            }
            Done::Store(id, Err(error)) => self.not_stored(id, &error),
            Done::Acknowledge(id, Ok(())) => {
                self.connected(true);
                self.core.acknowledged(now, id, true);
                self.held.remove(&id);
            }
            Done::Acknowledge(id, Err(error)) => {
                self.driver.metrics.error(StreamErrorKind::Acknowledge);
                tracing::debug!(stream = self.driver.name, %error, "not acknowledged");
                self.lost(error);
                self.core.acknowledged(now, id, false);
            }
            Done::Look(Some(backlog)) => {
                self.driver.metrics.lag(backlog.lag);
            }
            Done::Look(None) | Done::Told => {}
        }
    }

    pub(super) fn failed(&mut self, id: MessageId, failure: Failure) {
        self.driver.metrics.error(StreamErrorKind::Attempt);
        let core_failure = jobs::core_failure(&failure);
        tracing::debug!(stream = self.driver.name, %failure, "an attempt failed");
        if let Some(held) = self.held.get_mut(&id) {
            held.failure = Some(failure);
        }
        self.core.failed(self.begun.elapsed(), id, core_failure);
    }

    pub(super) fn not_stored(&mut self, id: MessageId, error: &StoreError) {
        let stream = &self.driver.name;
        if *error != StoreError::TakenBack {
            self.driver.metrics.error(StreamErrorKind::Store);
        }
        match error {
            StoreError::Refused(reason) => {
                tracing::error!(stream, reason, "a letter of a stream is refused");
                let is_answer = self
                    .held
                    .get_mut(&id)
                    .is_some_and(|held| held.refuse(reason));
                match is_answer {
                    true => self.core.unstorable(id),
                    false => self.core.stored(self.begun.elapsed(), id, false, false),
                }
            }
            StoreError::TakenBack => {
                self.core.taken_back(self.begun.elapsed(), id);
                self.held.remove(&id);
            }
            StoreError::Away(reason) => {
                tracing::debug!(stream, reason, "a letter of a stream is not stored yet");
                self.lost(BrokerError(reason.clone()));
                self.core.stored(self.begun.elapsed(), id, false, false);
            }
        }
    }

    /// Takes note of a broker that does not take letters or acknowledgements. While all places are
    /// taken no messages are asked for, which would tell it.
    fn lost(&mut self, error: BrokerError) {
        self.connected(false);
        self.outage.begins(error);
    }

    fn connected(&self, is_connected: bool) {
        self.driver.metrics.connected(is_connected);
        let name = self.driver.health_name.clone();
        self.driver.health.set(name, is_connected);
    }

    pub(super) fn pulled(&mut self, result: Result<(), BrokerError>) {
        self.pulling = None;
        self.connected(result.is_ok());
        match result {
            Ok(()) => {
                self.outage.over();
                self.pull_from = Instant::now();
            }
            Err(error) => {
                self.driver.metrics.error(StreamErrorKind::Pull);
                self.pull_from = Instant::now() + self.outage.goes_on(&error);
            }
        }
    }
}
