//! The time of a request: what each node gets of it, and what is refused for want of it.

use std::sync::Arc;
use std::time::Duration;

use motet_proto::tensor::Tensor;
use motet_runtime::status::{self, Reason};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::Terms;
use super::context::Context;
use super::run::{Frame, Run};
use crate::plan::Liveness;
use crate::plan::NodeLatencies;
use crate::plan::forecast::{Forecast, SizeClass, TimeAllowance};

/// What is expected of one request.
#[derive(Debug)]
pub(super) struct Schedule {
    size: SizeClass,
    forecast: Arc<Forecast>,
    /// Whether it goes on though it cannot be in time.
    tried: bool,
}

impl Schedule {
    /// For a request with these inputs.
    pub(super) fn new(frame: Frame<'_>, liveness: &Liveness, inputs: &[Option<Tensor>]) -> Self {
        let bytes = inputs.iter().flatten().map(|input| input.data().len());
        let size = SizeClass::of(bytes.sum());
        let graph = frame.graph;
        let forecast = if std::ptr::eq(liveness, &graph.topology.liveness) {
            graph.latencies.forecast(&graph.topology, size)
        } else {
            let forecast = graph
                .latencies
                .forecast_for(&graph.topology, liveness, size);
            Arc::new(forecast)
        };
        Self {
            size,
            forecast,
            tried: false,
        }
    }

    /// The size of the request.
    pub(super) const fn size(&self) -> SizeClass {
        self.size
    }

    /// Whether a request that cannot be in time goes on all the same.
    fn goes_on(&mut self, latencies: &NodeLatencies) -> bool {
        self.tried = self.tried || !latencies.should_reject();
        self.tried
    }
}

impl<'a> Run<'a> {
    /// Refuses a request that cannot be in time before anything is done for it.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED.
    pub(super) fn in_time(&mut self) -> Result<(), Status> {
        let Context { plan, terms, .. } = self.context;
        let left = terms.deadline.remaining(self.began);
        let Some(least) = self.schedule.forecast.min_if_infeasible(left) else {
            return Ok(());
        };
        if self.schedule.goes_on(&self.frame.graph.latencies) {
            return Ok(());
        }
        let pipeline = &plan.pipeline.name;
        Err(status::deadline_exceeded(format!(
            "pipeline {pipeline} cannot answer within {}: it lately took {} at the least",
            shown(left),
            shown(least)
        ))
        .reason(Reason::TooLittleTime)
        .pipeline(pipeline)
        .into())
    }

    /// What a node that starts now works with: the request's time, less what the nodes after it
    /// are expected to need, and its own priority.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED where that is not enough.
    pub(super) fn time(&mut self, index: usize) -> Result<Context<'a>, Status> {
        let context = self.context;
        let now = Instant::now();
        let until = context.terms.deadline;
        let deadline = match self.schedule.forecast.allowance(index, now, until) {
            TimeAllowance::Until(deadline) => deadline,
            TimeAllowance::Insufficient(_)
                if self.schedule.goes_on(&self.frame.graph.latencies) =>
            {
                until
            }
            TimeAllowance::Insufficient(least) => {
                return Err(too_little(until.remaining(now), least));
            }
        };
        let own = self.frame.nodes[index].policies.priority;
        let terms = Terms {
            deadline,
            priority: own.or(context.terms.priority),
        };
        Ok(Context {
            terms,
            lookahead: self.lookahead(index),
            ..context
        })
    }

    /// A node ended so after so long.
    pub(super) fn learn(&self, node: usize, code: Code, took: Duration) {
        let latencies = &self.frame.graph.latencies;
        match code {
            Code::Ok => latencies.record(node, self.schedule.size, took),
            Code::DeadlineExceeded => latencies.record_timeout(node, self.schedule.size, took),
            _ => {}
        }
    }

    /// Learns from nodes that are still running when the time is over.
    pub(super) fn learn_late(&self) {
        let elapsed = self.context.elapsed();
        for node in self.progress.running() {
            let record = self.records.iter().find(|r| r.node == node);
            // One that has ended waits for what stands in for it.
            if let Some(record) = record.filter(|r| r.ended.is_zero()) {
                let took = elapsed.saturating_sub(record.started);
                self.learn(node, Code::DeadlineExceeded, took);
            }
        }
    }
}

/// Returns whether a node failed because its time was too short to begin with: that it failed fast
/// says nothing of how long it takes.
pub(super) fn is_refusal(error: &Status) -> bool {
    matches!(
        Reason::of(error),
        Some(Reason::TooLittleTime | Reason::DeadlineTooShort)
    )
}

fn too_little(left: Duration, least: Duration) -> Status {
    status::deadline_exceeded(format!(
        "{} of the request's time are left, but this and what follows lately took {} at the least",
        shown(left),
        shown(least)
    ))
    .reason(Reason::TooLittleTime)
    .into()
}

/// A duration for people: no finer than anybody needs.
fn shown(duration: Duration) -> String {
    let rounded = match duration {
        d if d < Duration::from_millis(10) => Duration::from_micros(d.as_micros() as u64),
        d => Duration::from_millis(d.as_millis() as u64),
    };
    format!("{rounded:?}")
}

#[cfg(test)]
mod tests;
