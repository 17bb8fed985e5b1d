//! The time of a request: the share of each node, the time kept for the way out of what can fail
//! without loss, and the rejection of requests and nodes that cannot finish in time.

use std::sync::Arc;
use std::time::Duration;

use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::status::{self, Reason};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::RequestLimits;
use super::context::Context;
use super::run::GraphRun;
use crate::plan::forecast::{Forecast, SizeClass, TimeAllowance};
use crate::plan::{Graph, Liveness, NodeLatencies};

/// Least time that is kept for a way out: a substitute, another arm, and all that follows.
const WAY_OUT_MIN: Duration = Duration::from_millis(10);
/// Least share of the time left that is kept for a way out.
const WAY_OUT_SHARE: f64 = 0.05;

/// Returns until when something that has a way out may take, of the time from `now` to `until`: it
/// leaves 10 ms or a twentieth, whichever is more, but not more than half.
pub(crate) fn before_way_out(now: Instant, until: Deadline) -> Deadline {
    before_ways_out(now, until, &[Duration::ZERO])
}

/// Returns until when something may take that has these ways out, tried one after another, each
/// with the time that it is expected to take. It leaves each its expected time, at least 10 ms or
/// a twentieth, but has no less than an equal part itself.
pub(crate) fn before_ways_out(now: Instant, until: Deadline, ways: &[Duration]) -> Deadline {
    let left = until.remaining(now);
    let least = WAY_OUT_MIN.max(left.mul_f64(WAY_OUT_SHARE));
    let kept: Duration = ways.iter().map(|expected| least.max(*expected)).sum();
    let parts = u32::try_from(ways.len()).map_or(u32::MAX, |ways| ways.saturating_add(1));
    let limit = left.saturating_sub(kept).max(left / parts);
    until.min(Deadline::after(now, limit))
}

/// Forecast of one request, and whether it runs in spite of it.
#[derive(Debug)]
pub(super) struct Schedule {
    size: SizeClass,
    forecast: Arc<Forecast>,
    /// `true` if it runs as a probe, though it is expected to be late.
    attempted: bool,
}

impl Schedule {
    /// Returns the schedule of a request with these inputs.
    pub(super) fn new(graph: &Graph, liveness: &Liveness, inputs: &[Option<Tensor>]) -> Self {
        let bytes = inputs.iter().flatten().map(|input| input.data().len());
        let size = SizeClass::of(bytes.sum());
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
            attempted: false,
        }
    }

    /// Returns the size class of the request.
    pub(super) const fn size(&self) -> SizeClass {
        self.size
    }

    /// Returns `true` if a request that is expected to be late runs as a probe.
    fn continues(&mut self, latencies: &NodeLatencies) -> bool {
        self.attempted = self.attempted || !latencies.should_reject();
        self.attempted
    }
}

impl<'a> GraphRun<'a> {
    /// Rejects a request that cannot finish in time before anything is done for it.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED.
    pub(super) fn reject_if_infeasible(&mut self) -> Result<(), Status> {
        let Context { plan, limits, .. } = self.context;
        let left = limits.deadline.remaining(self.began);
        let Some(least) = self.schedule.forecast.min_if_infeasible(left) else {
            return Ok(());
        };
        if self.schedule.continues(&self.graph.latencies) {
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

    /// Returns the context of a node that starts now: the request's time, less what the nodes after
    /// it are expected to need, and the node's own priority.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED where that is not enough.
    pub(super) fn node_context(&mut self, index: usize) -> Result<Context<'a>, Status> {
        let context = self.context;
        let now = Instant::now();
        let until = context.limits.deadline;
        let deadline = match self.schedule.forecast.allowance(index, now, until) {
            TimeAllowance::Until(deadline) => deadline,
            TimeAllowance::Insufficient(_) if self.schedule.continues(&self.graph.latencies) => {
                until
            }
            TimeAllowance::Insufficient(least) => {
                return Err(too_little(until.remaining(now), least));
            }
        };
        let bound = &self.graph.nodes[index];
        let has_way_out =
            self.schedule.forecast.is_optional(index) || bound.step.bound().has_way_out();
        let deadline = match has_way_out {
            true => deadline.min(before_way_out(now, until)),
            false => deadline,
        };
        let own = bound.node.policies.priority;
        let limits = RequestLimits {
            deadline,
            priority: own.or(context.limits.priority),
        };
        Ok(Context {
            limits,
            hints: self.batching_hints(index),
            ..context
        })
    }

    /// Records the latency of a node that ended with this code.
    pub(super) fn record_latency(&self, node: usize, code: Code, took: Duration) {
        let latencies = &self.graph.latencies;
        match code {
            Code::Ok => latencies.record(node, self.schedule.size, took),
            Code::DeadlineExceeded => latencies.record_timeout(node, self.schedule.size, took),
            _ => {}
        }
    }

    /// Records the latencies of nodes that still run when the deadline passes.
    pub(super) fn record_timeouts(&self) {
        let elapsed = self.context.elapsed();
        for node in self.progress.running() {
            let record = self.records.iter().find(|r| r.node == node);
            // One that has ended waits for its substitutes.
            if let Some(record) = record.filter(|r| r.ended.is_zero()) {
                let took = elapsed.saturating_sub(record.started);
                self.record_latency(node, Code::DeadlineExceeded, took);
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
    let left = match left.is_zero() {
        true => "none of the request's time is left".to_owned(),
        false => format!("{} of the request's time are left", shown(left)),
    };
    let least = shown(least);
    status::deadline_exceeded(format!(
        "{left}, but this and what follows lately took {least} at the least"
    ))
    .reason(Reason::TooLittleTime)
    .into()
}

/// Rounds a duration for people.
fn shown(duration: Duration) -> String {
    let rounded = match duration {
        d if d < Duration::from_millis(10) => Duration::from_micros(d.as_micros() as u64),
        d => Duration::from_millis(d.as_millis() as u64),
    };
    format!("{rounded:?}")
}

#[cfg(test)]
mod tests;
