//! A running model: admits calls, times and counts them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use motet_batcher::Stats;
use motet_models::DeviceSpec;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse, ModelStatistics};
use motet_proto::oip::{VERSION, split_version};
use motet_proto::signature::Signature;
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::ModelMetrics;
use motet_runtime::status::{Reason, annotate, unavailable};
use tonic::{Code, Status};
use tracing::Instrument;

use crate::call_cost::CallCost;
use crate::identity::Identity;
use crate::in_flight::{CallGuard, InFlight};
use crate::memory_budget::Weights;
use crate::model_health::ModelHealth;
use crate::request::{Parameters, ResponseBuilder, write_cost};
use crate::resolve::ResolvedModel;
use crate::statistics::Statistics;
use crate::task::RunModel;

/// A loaded model. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    signature: Arc<Signature>,
    instance: u64,
    origin: Origin,
    runner: Box<dyn RunModel>,
    metrics: ModelMetrics,
    health: ModelHealth,
    statistics: Statistics,
    in_flight: InFlight,
}

/// Origin of a model: its configuration, its files, its weights and their device.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// Identity of its configuration and files.
    pub(crate) identity: Identity,
    /// Identity of its weights, for as long as it has them.
    #[expect(dead_code, reason = "says that the weights are in memory")]
    pub(crate) weights: Option<Arc<Weights>>,
    /// The device that its batches run on, if they take one.
    pub(crate) device: Option<DeviceSpec>,
}

impl Model {
    pub(crate) fn new(
        name: String,
        signature: Arc<Signature>,
        origin: Origin,
        runner: Box<dyn RunModel>,
        metrics: ModelMetrics,
        health: ModelHealth,
    ) -> Self {
        Self(Arc::new(Inner {
            name,
            signature,
            instance: fastrand::u64(..),
            origin,
            runner,
            metrics,
            health,
            statistics: Statistics::default(),
            in_flight: InFlight::default(),
        }))
    }

    /// Returns the model's name in the configuration, with its version where it has one there.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the model's name on the wire, where the version is a field of its own.
    pub fn base_name(&self) -> &str {
        split_version(&self.0.name).0
    }

    /// Returns the model's version, 1 where the configuration gives none.
    pub fn version(&self) -> &str {
        split_version(&self.0.name).1.unwrap_or(VERSION)
    }

    /// Returns the device that the model's batches run on; `None` where they take none, as those of
    /// `preprocess`.
    pub fn device(&self) -> Option<DeviceSpec> {
        self.0.origin.device
    }

    /// Ports and parameters of the model.
    pub fn signature(&self) -> &Arc<Signature> {
        &self.0.signature
    }

    /// Returns a random number that the model got when it was loaded.
    pub(crate) fn instance(&self) -> u64 {
        self.0.instance
    }

    /// Returns whether it was loaded from the same text and the same files as another would be.
    pub(crate) fn is_from(&self, model: &ResolvedModel) -> bool {
        self.0.origin.identity == *model.identity()
    }

    /// Returns whether this is the same loaded model, and not another one of the same name.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns whether the model answers calls: it is not draining, and has an executor that is
    /// alive.
    pub fn is_ready(&self) -> bool {
        self.0.in_flight.is_open() && self.is_alive()
    }

    /// `true` as long as calls can be answered: a batcher has an executor that is alive and not
    /// stuck.
    fn is_alive(&self) -> bool {
        self.batcher_stats()
            .is_none_or(|stats| stats.executors > stats.executors_stuck)
    }

    /// Totals and current state of the model's batcher; `None` without one (`preprocess`).
    pub fn batcher_stats(&self) -> Option<Stats> {
        self.0.runner.batcher_stats()
    }

    /// Refuses new calls, answers those in flight, and ends the model's threads.
    pub async fn drain(&self) {
        self.0.health.set(false);
        self.retire().await;
    }

    /// Makes health of the model's name what this one says.
    pub(crate) fn begin(&self) {
        self.0.health.take();
        self.0.health.set(self.is_alive());
    }

    /// As [`drain`](Self::drain), for a model that no call finds any more: health of its name is
    /// what its successor says, if there is one.
    pub(crate) async fn retire(&self) {
        self.0.health.leave();
        // Rows in the queue may wait for others, which will not come any more.
        self.0.runner.hurry();
        self.0.in_flight.close().await;
        self.0.runner.drain().await;
    }

    /// Admits a call; `None` for a model that is draining.
    pub(crate) fn admit(&self) -> Option<CallGuard> {
        self.0.in_flight.admit()
    }

    /// Returns the status of a call that the model did not admit.
    pub(crate) fn draining(&self) -> Status {
        let message = format!("model {} is shutting down", self.name());
        let error = unavailable(message).reason(Reason::Draining);
        error.model(self.name()).into()
    }

    pub(crate) fn statistics(&self) -> ModelStatistics {
        let batches = self.batcher_stats();
        let name = (self.base_name(), self.version());
        self.0.statistics.read(name, batches.as_ref())
    }

    /// Answers an admitted call, and counts and times it. Dropping the future takes it out of every
    /// queue.
    ///
    /// # Errors
    /// The status of the call, with the model's name in its details.
    pub(crate) async fn infer(
        &self,
        request: ModelInferRequest,
        deadline: Option<Deadline>,
        _admitted: CallGuard,
    ) -> Result<ModelInferResponse, Status> {
        let mut record = CallRecord::start(self);
        let span = tracing::info_span!("infer", model = self.name());
        let answer = self.answer(request, deadline).instrument(span).await;
        match answer {
            Ok((response, cost)) => {
                record.finish(Code::Ok, Some(cost));
                Ok(response)
            }
            Err(status) => {
                record.finish(status.code(), None);
                Err(annotate(&status, [("model", self.name())]))
            }
        }
    }

    async fn answer(
        &self,
        mut request: ModelInferRequest,
        deadline: Option<Deadline>,
    ) -> Result<(ModelInferResponse, CallCost), Status> {
        let signature = &self.0.signature;
        let parameters = Parameters::read(&request.parameters, signature, deadline)?;
        let deadline = parameters.deadline;
        let name = (self.base_name(), self.version());
        let response = ResponseBuilder::new(name, &mut request, signature)?;
        let infer = self
            .0
            .runner
            .infer(request, signature, parameters, response);
        let (mut response, cost) = match deadline {
            Some(deadline) => deadline.run(infer).await?,
            None => infer.await?,
        };
        write_cost(&mut response.parameters, &cost);
        Ok((response, cost))
    }
}

/// Counts and times one call; dropped before it has finished, it counts as cancelled.
struct CallRecord<'m> {
    model: &'m Inner,
    started: Instant,
    finished: bool,
}

impl<'m> CallRecord<'m> {
    fn start(model: &'m Model) -> Self {
        Self {
            model: &model.0,
            started: Instant::now(),
            finished: false,
        }
    }

    fn finish(&mut self, code: Code, cost: Option<CallCost>) {
        let elapsed: Duration = self.started.elapsed();
        self.finished = true;
        self.model.metrics.request(code, elapsed);
        match cost {
            Some(cost) => self.model.statistics.succeeded(elapsed, &cost),
            None => self.model.statistics.failed(elapsed),
        }
    }
}

impl Drop for CallRecord<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(Code::Cancelled, None);
        }
    }
}
