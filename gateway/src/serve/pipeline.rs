//! A pipeline in service, below all surfaces: a surface converts its messages to a [`Call`], and an
//! [`Answer`] to its messages.

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
use crate::exec::{self, OutputSelection, RequestLimits, RequestOutcome};
use crate::plan::Plan;

/// A pipeline in service. A request finishes on the pipeline on which it began, also if another is
/// loaded meanwhile.
#[derive(Debug)]
pub struct ServedPipeline {
    /// Plan that requests run.
    pub plan: Arc<Plan>,
    /// Messages of the typed service.
    pub api: TypedApi,
    /// Signature as a model of the Open Inference Protocol.
    pub(super) signature: Signature,
    /// Statistics of the typed service.
    pub(super) typed: SurfaceStats,
    /// Statistics of calls by the Open Inference Protocol.
    pub(super) oip: SurfaceStats,
}

/// One request to a pipeline, by any surface.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// A tensor for each input of the pipeline; `None` for one that is left out.
    pub(super) inputs: Vec<Option<Tensor>>,
    /// For each output column, `true` to compute it; `None` for all.
    pub(super) columns: Option<Vec<bool>>,
    /// Deadline of the caller.
    pub(super) deadline: Option<Deadline>,
    /// Priority, which is passed on to models.
    pub(super) priority: Option<i64>,
}

/// Answer to a [`Call`].
#[derive(Debug)]
pub(super) struct Answer {
    plan: Arc<Plan>,
    outcome: RequestOutcome,
}

impl Answer {
    /// Returns the value of each output, or the columns of one that is a list of records.
    pub(super) fn outputs(&self) -> &[Vec<Option<Tensor>>] {
        &self.outcome.outputs
    }

    /// Returns the columns of all outputs, in order.
    pub(super) fn into_columns(self) -> Vec<Option<Tensor>> {
        self.outcome.outputs.into_iter().flatten().collect()
    }

    /// Returns the receipt: where the time of the request went.
    pub(super) fn receipt(&self) -> v1::Receipt {
        receipt::receipt(&self.plan, &self.outcome)
    }

    /// Returns the names of the degraded nodes.
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

    /// Returns the checked pipeline.
    pub fn pipeline(&self) -> &CheckedPipeline {
        &self.plan.pipeline
    }

    /// Runs one request.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with a violation for each invalid input, DEADLINE_EXCEEDED, or the error of
    /// the node that failed.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, Status> {
        let refused =
            |violations: Vec<_>| exec::violation_status(&self.pipeline().name, &violations);
        let inputs = exec::bind_inputs(&self.plan, call.inputs).map_err(refused)?;
        let limits = RequestLimits {
            deadline: self.deadline(call.deadline)?,
            priority: call.priority,
        };
        let wanted = call
            .columns
            .as_deref()
            .map_or(OutputSelection::All, OutputSelection::Columns);
        let outcome = exec::run(&self.plan, inputs, wanted, limits).await?;
        Ok(Answer {
            plan: self.plan.clone(),
            outcome,
        })
    }

    /// Returns the deadline of a request that begins now; `asked` is the deadline of the client.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED if the deadline of the client has already passed.
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

    /// Returns counts and durations since the pipeline was loaded.
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
