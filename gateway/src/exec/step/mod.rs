//! One node: what it runs on, and what it comes to.

mod ensemble;
mod fallback;
mod grpc;
mod map;
mod model;
mod op;
mod pipeline;
mod split;
mod switch;

use futures::future::BoxFuture;
use motet_proto::tensor::Tensor;
use motet_runtime::status;
use tonic::Status;

use super::body::{self, BodyEnd};
use super::context::Context;
use super::lengths::Lengths;
use super::record::{BodyRecord, Facts};
use crate::check::{Body, Node, NodeKind};
use crate::plan::{Graph, Step};
use crate::scalar::Scalar;

/// A node whose arguments are there.
pub(super) struct Ready<'a, 'r> {
    pub node: &'a Node,
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
    /// One for each of the node's outputs, `None` where nothing reads it or it is absent; or why
    /// there are none.
    pub result: Result<Vec<Option<Tensor>>, Status>,
    /// What the receipt says of it.
    pub facts: Facts,
    /// Operations that were done on the async runtime for it without waiting, see
    /// [`CoopBudget`](crate::compute::CoopBudget).
    pub work: u64,
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
            work: 0,
        }
    }

    /// The same outcome, for which `work` operations were done on the async runtime.
    pub(super) fn with_work(mut self, work: u64) -> Self {
        self.work = work;
        self
    }

    /// An outcome with something to say about it.
    pub(super) fn new(result: Result<Vec<Option<Tensor>>, Status>, facts: Facts) -> Self {
        Self {
            result,
            facts,
            work: 0,
        }
    }

    /// A failure.
    pub(super) fn failed(error: impl Into<Status>) -> Self {
        Self {
            result: Err(error.into()),
            facts: Facts::default(),
            work: 0,
        }
    }
}

/// Starts a node. An argument is `None` where it is absent.
pub(super) fn start<'a>(
    context: Context<'a>,
    node: &'a Node,
    step: &'a Step,
    arguments: Vec<Option<Tensor>>,
    settings: Vec<Scalar>,
    lengths: &Lengths,
) -> Started<'a> {
    let later = |inside| {
        let deadline = context.node_deadline(node);
        let limited = node.policies.deadline.is_some();
        Started::Later(Box::pin(async move {
            if !limited {
                return run(context, inside).await;
            }
            let mut context = context;
            context.terms.deadline = deadline;
            let end = async { Ok(run(context, inside).await) };
            deadline.run(end).await.unwrap_or_else(StepEnd::failed)
        }))
    };
    match step {
        Step::Model(upstream) => match present(arguments) {
            Ok(arguments) => {
                let ready = Ready {
                    node,
                    arguments,
                    settings,
                    lengths,
                };
                model::start(context, upstream, ready)
            }
            Err(error) => Started::Now(StepEnd::failed(error)),
        },
        Step::Grpc(calls) => grpc::start(context, calls, node, arguments),
        Step::Op(op) => op::start(context, *op, node, arguments, settings),
        Step::Pipeline(plan) => pipeline::start(context, node, plan, arguments),
        Step::Bodies(_) | Step::Split(..) => later(Inside {
            node,
            step,
            arguments,
            lengths: lengths.clone(),
        }),
    }
}

/// A node that holds others, and what they see.
struct Inside<'a> {
    node: &'a Node,
    step: &'a Step,
    arguments: Vec<Option<Tensor>>,
    lengths: Lengths,
}

async fn run<'a>(context: Context<'a>, inside: Inside<'a>) -> StepEnd {
    match (&inside.node.kind, inside.step) {
        (NodeKind::Fallback(arms), Step::Bodies(graphs)) => {
            fallback::run(context, arms, graphs, &inside).await
        }
        (NodeKind::Switch(arms), Step::Bodies(graphs)) => {
            switch::run(context, arms, graphs, &inside).await
        }
        (NodeKind::Split(split), Step::Split(graphs, shadows)) => {
            split::run(context, split, graphs, shadows, &inside).await
        }
        (NodeKind::Ensemble(ensemble), Step::Bodies(graphs)) => {
            ensemble::run(context, ensemble, graphs, &inside).await
        }
        (NodeKind::Map(map), Step::Bodies(graphs)) => map::run(context, map, graphs, &inside).await,
        // A plan binds every kind to its own step.
        _ => StepEnd::failed(status::internal("a node is not bound to what it runs")),
    }
}

impl<'a> Inside<'a> {
    /// Runs one body over the node's arguments.
    async fn body(&self, context: Context<'a>, body: &'a Body, graph: &'a Graph) -> BodyEnd {
        let (arguments, lengths) = (self.arguments.clone(), self.lengths.clone());
        body::run(context, body, graph, arguments, lengths).await
    }
}

impl BodyEnd {
    /// The result, and the records as those of the body of this index.
    fn split(
        self,
        body: usize,
        item: Option<usize>,
    ) -> (Result<Vec<Option<Tensor>>, Status>, BodyRecord) {
        let record = BodyRecord {
            body,
            item,
            records: self.records,
        };
        (self.result, record)
    }
}

/// Arguments that the check promises to be there.
fn present(arguments: Vec<Option<Tensor>>) -> Result<Vec<Tensor>, Status> {
    let all: Option<Vec<Tensor>> = arguments.into_iter().collect();
    all.ok_or_else(|| status::internal("a value is not there that should be").into())
}
