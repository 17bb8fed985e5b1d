//! One node: what it runs on, and what it comes to.

mod model;
mod op;

use futures::future::BoxFuture;
use motet_proto::tensor::Tensor;
use tonic::Status;

use super::context::Context;
use super::lengths::Lengths;
use super::record::Facts;
use crate::check::Node;
use crate::plan::Step;
use crate::spec::Scalar;

/// A node whose arguments are there.
pub(super) struct Ready<'a, 'r> {
    pub node: &'a Node,
    pub step: &'a Step,
    /// One for each of the node's inputs.
    pub arguments: Vec<Tensor>,
    /// One for each of the node's parameters.
    pub settings: Vec<Scalar>,
    /// The lengths that are known so far.
    pub lengths: &'r Lengths,
}

/// What a node came to.
#[derive(Debug)]
pub(super) struct StepEnd {
    /// One for each of the node's outputs, `None` where nothing reads it; or why there are none.
    pub result: Result<Vec<Option<Tensor>>, Status>,
    /// What the receipt says of it.
    pub facts: Facts,
}

/// A node on its way.
pub(super) enum Started<'a> {
    /// Answered on the spot.
    Now(StepEnd),
    /// To be awaited; dropping it cancels the node.
    Later(BoxFuture<'a, StepEnd>),
}

impl StepEnd {
    /// Every output, and nothing to say about it.
    pub(super) fn done(outputs: Vec<Option<Tensor>>) -> Self {
        Self {
            result: Ok(outputs),
            facts: Facts::default(),
        }
    }

    /// A failure.
    pub(super) fn failed(error: impl Into<Status>) -> Self {
        Self {
            result: Err(error.into()),
            facts: Facts::default(),
        }
    }
}

/// Starts a node.
pub(super) fn start<'a>(context: Context<'a>, ready: Ready<'a, '_>) -> Started<'a> {
    match ready.step {
        Step::Model(upstream) => model::start(context, upstream, ready),
        Step::Op(kind) => op::start(*kind, ready),
    }
}
