//! One model: it answers calls, counts and times them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use motet_batcher::Stats;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse, ModelStatistics};
use motet_proto::oip::{VERSION, split_version};
use motet_proto::signature::Signature;
use motet_runtime::deadline::Deadline;
use motet_runtime::health::Health;
use motet_runtime::metrics::ModelMetrics;
use motet_runtime::status::{Reason, annotate, unavailable};
use tonic::{Code, Status};
use tracing::Instrument;

use crate::call::{Reply, Settings, put_cost};
use crate::gate::Gate;
use crate::statistics::Statistics;
use crate::task::{Cost, Task};

/// A loaded model. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    signature: Arc<Signature>,
    task: Task,
    metrics: ModelMetrics,
    health: Health,
    statistics: Statistics,
    gate: Gate,
}

impl Model {
    pub(crate) fn new(
        name: String,
        signature: Signature,
        task: Task,
        metrics: ModelMetrics,
        health: Health,
    ) -> Self {
        Self(Arc::new(Inner {
            name,
            signature: Arc::new(signature),
            task,
            metrics,
            health,
            statistics: Statistics::default(),
            gate: Gate::default(),
        }))
    }

    /// Its name in the configuration, with its version where it has one there.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its name on the wire, where the version is a field of its own.
    pub fn base_name(&self) -> &str {
        split_version(&self.0.name).0
    }

    /// Its version.
    pub fn version(&self) -> &str {
        split_version(&self.0.name).1.unwrap_or(VERSION)
    }

    /// What it takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.0.signature
    }

    /// Whether it answers calls: it is not draining, and its executors are alive.
    pub fn is_ready(&self) -> bool {
        self.0.gate.is_open() && self.0.task.is_alive()
    }

    /// Totals and current state of its batcher; nothing for a model without one (`preprocess`).
    pub fn batches(&self) -> Option<Stats> {
        self.0.task.batches()
    }

    /// Refuses new calls, answers those that were let in, and ends the model's threads.
    pub async fn drain(&self) {
        self.0.health.set(self.name(), false);
        // Who is inside may wait for company, which will not come.
        self.0.task.hurry();
        self.0.gate.close().await;
        self.0.task.drain().await;
    }

    pub(crate) fn statistics(&self) -> ModelStatistics {
        let batches = self.batches();
        let name = (self.base_name(), self.version());
        self.0.statistics.read(name, batches.as_ref())
    }

    /// Answers a call, counts it and times it. Dropping the future takes it out of every queue.
    pub(crate) async fn infer(
        &self,
        request: ModelInferRequest,
        deadline: Option<Deadline>,
    ) -> Result<ModelInferResponse, Status> {
        let mut record = Record::begin(self);
        let span = tracing::info_span!("infer", model = self.name());
        let answer = self.answer(request, deadline).instrument(span).await;
        match answer {
            Ok((response, cost)) => {
                record.end(Code::Ok, Some(cost));
                Ok(response)
            }
            Err(status) => {
                record.end(status.code(), None);
                Err(annotate(&status, [("model", self.name())]))
            }
        }
    }

    async fn answer(
        &self,
        mut request: ModelInferRequest,
        deadline: Option<Deadline>,
    ) -> Result<(ModelInferResponse, Cost), Status> {
        let Some(_pass) = self.0.gate.enter() else {
            let message = format!("model {} is shutting down", self.name());
            return Err(unavailable(message).reason(Reason::Draining).into());
        };
        let signature = &self.0.signature;
        let settings = Settings::read(&request.parameters, signature, deadline)?;
        let deadline = settings.deadline;
        let name = (self.base_name(), self.version());
        let reply = Reply::open(name, &mut request, signature)?;
        let run = self.0.task.run(request, signature, settings, reply);
        let (mut response, cost) = match deadline {
            Some(deadline) => deadline.run(run).await?,
            None => run.await?,
        };
        put_cost(&mut response.parameters, &cost);
        Ok((response, cost))
    }
}

/// Counts and times one call, also one whose caller goes away.
struct Record<'m> {
    model: &'m Inner,
    started: Instant,
    ended: bool,
}

impl<'m> Record<'m> {
    fn begin(model: &'m Model) -> Self {
        Self {
            model: &model.0,
            started: Instant::now(),
            ended: false,
        }
    }

    fn end(&mut self, code: Code, cost: Option<Cost>) {
        let elapsed: Duration = self.started.elapsed();
        self.ended = true;
        self.model.metrics.request(code, elapsed);
        match cost {
            Some(cost) => self.model.statistics.succeeded(elapsed, &cost),
            None => self.model.statistics.failed(elapsed),
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Code::Cancelled, None);
        }
    }
}
