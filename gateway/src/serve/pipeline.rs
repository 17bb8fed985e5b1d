//! A pipeline in service, below all surfaces: a surface makes a [`Call`] of its own messages, and
//! its own messages of an [`Answer`].

use std::sync::Arc;

use motet_proto::inference::{InferStatistics, ModelStatistics, StatisticDuration};
use motet_proto::signature::Signature;
use motet_proto::tensor::Tensor;
use motet_proto::v1;
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::Metrics;
use motet_runtime::status;
use tokio::time::Instant;
use tonic::Status;

use super::receipt;
use super::signature::signature;
use super::stats::SurfaceStats;
use super::typed::{DescriptorError, TypedApi};
use crate::check::CheckedPipeline;
use crate::exec::{self, Outcome, Terms, Wanted};
use crate::plan::Plan;

/// A pipeline in service. Requests that began on it finish on it, whatever is loaded meanwhile.
#[derive(Debug)]
pub struct ServedPipeline {
    /// The graph that runs.
    pub plan: Arc<Plan>,
    /// The messages of its typed service.
    pub api: TypedApi,
    /// The pipeline as a model of the Open Inference Protocol.
    pub(super) signature: Signature,
    /// Calls of its typed service.
    pub(super) typed: SurfaceStats,
    /// Calls by the Open Inference Protocol.
    pub(super) oip: SurfaceStats,
}

/// One request to a pipeline, whichever surface it came by.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// A tensor for each input of the pipeline; `None` where the request leaves one out.
    pub(super) inputs: Vec<Option<Tensor>>,
    /// For each column of the outputs, whether it is asked for; `None` asks for all.
    pub(super) columns: Option<Vec<bool>>,
    /// The deadline that the caller asks for.
    pub(super) deadline: Option<Deadline>,
    /// The priority that goes on to models.
    pub(super) priority: Option<i64>,
}

/// The answer to a [`Call`].
#[derive(Debug)]
pub(super) struct Answer {
    plan: Arc<Plan>,
    outcome: Outcome,
}

impl Answer {
    /// For each output of the pipeline its value or its columns.
    pub(super) fn outputs(&self) -> &[Vec<Option<Tensor>>] {
        &self.outcome.outputs
    }

    /// The columns of all outputs, in order.
    pub(super) fn into_columns(self) -> Vec<Option<Tensor>> {
        self.outcome.outputs.into_iter().flatten().collect()
    }

    /// Why the answer took as long as it did.
    pub(super) fn receipt(&self) -> v1::Receipt {
        receipt::receipt(&self.plan, &self.outcome)
    }

    /// The names of the nodes that were degraded.
    pub(super) fn degraded(&self) -> Vec<String> {
        receipt::degraded(&self.plan, &self.outcome)
    }
}

impl ServedPipeline {
    /// Puts a plan into service.
    ///
    /// # Errors
    /// When its messages cannot be declared.
    pub(super) fn new(plan: Arc<Plan>, metrics: &Metrics) -> Result<Self, DescriptorError> {
        let stats = |surface| SurfaceStats::new(metrics.pipeline(&plan.pipeline.name, surface));
        Ok(Self {
            api: TypedApi::new(&plan.pipeline)?,
            signature: signature(&plan.pipeline),
            typed: stats("typed"),
            oip: stats("oip"),
            plan,
        })
    }

    /// The pipeline as it was checked.
    pub fn pipeline(&self) -> &CheckedPipeline {
        &self.plan.pipeline
    }

    /// Runs one request.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with every input that is wrong, DEADLINE_EXCEEDED, or the error of the
    /// node that failed.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, Status> {
        let refused =
            |violations: Vec<_>| exec::violation_status(&self.pipeline().name, &violations);
        let inputs = exec::bind_inputs(&self.plan, call.inputs).map_err(refused)?;
        let terms = Terms {
            deadline: self.deadline(call.deadline)?,
            priority: call.priority,
        };
        let wanted = call.columns.as_deref().map_or(Wanted::All, Wanted::Columns);
        let outcome = exec::run(&self.plan, inputs, wanted, terms).await?;
        Ok(Answer {
            plan: self.plan.clone(),
            outcome,
        })
    }

    /// The deadline of a request that begins now, for a client that asked for `asked`.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED when the client's deadline has already passed.
    fn deadline(&self, asked: Option<Deadline>) -> Result<Deadline, Status> {
        let now = Instant::now();
        let pipeline = &self.pipeline().name;
        if asked.is_some_and(|d| d.is_past(now)) {
            let late = status::deadline_exceeded(format!(
                "the deadline had passed before pipeline {pipeline} could start"
            ));
            return Err(late.pipeline(pipeline).into());
        }
        let timeout = self.plan.timeout(asked.map(|d| d.remaining(now)));
        Ok(Deadline::after(now, timeout))
    }

    /// Counts and durations since the pipeline was loaded.
    pub(super) fn statistics(&self) -> ModelStatistics {
        let (typed, oip) = (self.typed.totals(), self.oip.totals());
        let add = |a: StatisticDuration, b: StatisticDuration| StatisticDuration {
            count: a.count + b.count,
            ns: a.ns + b.ns,
        };
        let success = add(typed.success, oip.success);
        ModelStatistics {
            name: self.pipeline().name.clone(),
            version: self.pipeline().version.to_string(),
            last_inference: typed.last_ms.max(oip.last_ms),
            inference_count: success.count,
            execution_count: success.count,
            inference_stats: Some(InferStatistics {
                success: Some(success),
                fail: Some(add(typed.fail, oip.fail)),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}
