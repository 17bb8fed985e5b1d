//! State that all nodes of one request share.

use std::sync::Arc;

use motet_runtime::deadline::Deadline;
use tokio::time::{Duration, Instant};

use super::RequestLimits;
use super::batching_hints::BatchingHints;
use super::elements::ElementCount;
use crate::check::Node;
use crate::plan::Plan;

/// State that all nodes of one request share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub plan: &'a Arc<Plan>,
    pub limits: RequestLimits,
    /// Start of the request, the time base of its records, those of called pipelines included.
    pub started: Instant,
    /// The number that all calls of the request share, those of called pipelines included.
    pub request_id: i64,
    /// The elements of the request's maps so far.
    pub elements: &'a ElementCount,
    /// Hints for the batcher of the model that the node calls.
    pub hints: BatchingHints,
}

impl<'a> Context<'a> {
    /// Returns the context of a request that starts now.
    pub(crate) fn new(
        plan: &'a Arc<Plan>,
        limits: RequestLimits,
        elements: &'a ElementCount,
    ) -> Self {
        Self {
            plan,
            limits,
            started: Instant::now(),
            request_id: fastrand::i64(0..=i64::MAX),
            elements,
            hints: BatchingHints::default(),
        }
    }

    /// Returns the context of a pipeline that a node calls: it runs as a part of the request.
    pub(crate) fn called(self, plan: &'a Arc<Plan>, limits: RequestLimits) -> Self {
        Self {
            plan,
            limits,
            hints: BatchingHints::default(),
            ..self
        }
    }

    /// Returns the time since the request started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the deadline of a node that starts now: the request's, or the node's own.
    pub(crate) fn node_deadline(&self, node: &Node) -> Deadline {
        match node.policies.deadline {
            Some(limit) => limit.deadline(Instant::now(), self.limits.deadline),
            None => self.limits.deadline,
        }
    }
}
