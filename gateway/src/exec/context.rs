//! What all nodes of one request share.

use std::sync::Arc;

use motet_runtime::deadline::Deadline;
use tokio::time::{Duration, Instant};

use super::Terms;
use super::batching_hints::Lookahead;
use crate::check::Node;
use crate::plan::Plan;

/// What all nodes of one request share: which pipeline, on what terms, since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub plan: &'a Arc<Plan>,
    pub terms: Terms,
    pub started: Instant,
    /// What the calls of the request have in common.
    pub number: i64,
    /// What a node tells the model that it calls.
    pub lookahead: Lookahead,
}

impl<'a> Context<'a> {
    /// A request that starts now.
    pub(super) fn new(plan: &'a Arc<Plan>, terms: Terms) -> Self {
        Self {
            plan,
            terms,
            started: Instant::now(),
            number: fastrand::i64(0..=i64::MAX),
            lookahead: Lookahead::default(),
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
