//! Actions of the core, carried out.

use motet_rows::{Code, Failure, Pipeline};
use tokio::time::Instant;

use super::jobs::{self, Done};
use super::{Held, Loop};
use crate::broker::{Sink, Source};
use crate::calls::Calls;
use crate::core::{Action, Letter, MessageId};

impl<B: Source + Sink, C: Calls> Loop<B, C> {
    /// Does what is to be done.
    pub(super) fn act(&mut self) {
        while let Some(action) = self.core.next(self.now()) {
            match action {
                Action::Attempt(ids) => self.attempt(ids),
                Action::Store(id, letter) => self.store(id, letter),
                Action::Acknowledge(id) => {
                    if let Some(receipt) = self.receipt(id) {
                        let broker = self.driver.broker.clone();
                        jobs::acknowledge(&mut self.jobs, broker, id, receipt);
                    }
                }
                Action::Progress(id) => {
                    if let Some(receipt) = self.receipt(id) {
                        jobs::progress(&mut self.jobs, self.driver.broker.clone(), receipt);
                    }
                }
                Action::Release(id, after) => {
                    if let Some(held) = self.held.remove(&id) {
                        let broker = self.driver.broker.clone();
                        jobs::release(&mut self.jobs, broker, held.receipt, after);
                    }
                }
            }
        }
        let room = self.core.room();
        if self.pulling.is_none() && room > 0 && self.pull_from <= Instant::now() {
            let (broker, inbox) = (self.driver.broker.clone(), self.inbox.clone());
            self.pulling = Some(jobs::pull(&mut self.jobs, broker, room, inbox));
        }
    }

    fn receipt(&self, id: MessageId) -> Option<String> {
        self.held.get(&id).map(|held| held.receipt.clone())
    }

    /// Runs the pipeline for some messages.
    pub(super) fn attempt(&mut self, ids: Vec<MessageId>) {
        let mut inputs = Vec::new();
        for id in ids {
            let Some(held) = self.held.get(&id) else {
                continue;
            };
            let read = match &held.row {
                Ok(row) => self.driver.reader.inputs(row),
                Err(failure) => Err(failure.clone()),
            };
            match read {
                Ok(read) => inputs.push((id, read)),
                Err(failure) => self.failed(id, failure),
            }
        }
        let Some((first, _)) = inputs.first() else {
            return;
        };
        let context = self.held.get(first).map(Held::context).unwrap_or_default();
        let call = self.driver.calls.call(context);
        let (ids, rows): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
        let deadline = self.driver.deadline;
        match self.driver.rows.clone() {
            // One row of a pipeline that takes lists is a list of one.
            Some(chunks) => {
                let inputs = chunks.join(rows);
                self.jobs.spawn(async move {
                    let answer = jobs::within(deadline, call.run(inputs)).await;
                    let answers = answer.and_then(|answer| {
                        chunks.split(answer, ids.len()).ok_or_else(|| {
                            let reason = "the answer has not one element for each message";
                            Failure::new(Code::Internal, reason)
                        })
                    });
                    Done::Attempt(ids, answers)
                });
            }
            None => {
                let inputs = rows.into_iter().next().unwrap_or_default();
                self.jobs.spawn(async move {
                    let answer = jobs::within(deadline, call.run(inputs)).await;
                    Done::Attempt(ids, answer.map(|answer| vec![answer]))
                });
            }
        }
    }

    pub(super) fn store(&mut self, id: MessageId, letter: Letter) {
        let attempts = self.core.attempts(id);
        let Some(held) = self.held.get(&id) else {
            return;
        };
        let parcel = held.parcel(&self.driver.writer, letter, attempts);
        let (broker, receipt) = (self.driver.broker.clone(), held.receipt.clone());
        jobs::store(&mut self.jobs, broker, id, receipt, parcel);
    }
}
