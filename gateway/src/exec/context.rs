//! What all nodes of one request share.

use std::sync::Arc;

use motet_runtime::deadline::Deadline;
use tokio::time::{Duration, Instant};

use super::Terms;
use super::batching_hints::Lookahead;
use super::elements::ElementCount;
use crate::check::Node;
use crate::plan::Plan;

/// State that all nodes of one request share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub plan: &'a Arc<Plan>,
    pub terms: Terms,
    /// The start of the request, from which its records count. Pipelines that it calls have the
    /// same.
    pub started: Instant,
    /// The number that all calls of the request share, those of called pipelines included.
    pub request_id: i64,
    /// The elements of the request's maps so far.
    pub elements: &'a ElementCount,
    /// What a node tells the model that it calls.
    pub lookahead: Lookahead,
}

impl<'a> Context<'a> {
    /// A request that starts now.
    pub(super) fn new(plan: &'a Arc<Plan>, terms: Terms, elements: &'a ElementCount) -> Self {
        Self {
            plan,
            terms,
            started: Instant::now(),
            request_id: fastrand::i64(0..=i64::MAX),
            elements,
            lookahead: Lookahead::default(),
        }
    }

    /// A pipeline that a node of the request calls: it runs as a part of the request.
    pub(super) fn called(self, plan: &'a Arc<Plan>, terms: Terms) -> Self {
        Self {
            plan,
            terms,
            lookahead: Lookahead::default(),
            ..self
        }
    }

    /// Time since the request started.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// By when a node that starts now must be done: the request's deadline, or the node's own.
    pub(super) fn node_deadline(&self, node: &Node) -> Deadline {
        match node.policies.deadline {
            Some(limit) => limit.deadline(Instant::now(), self.terms.deadline),
            None => self.terms.deadline,
        }
    }
}
