//! One node: its arguments, how it starts, and its outcome.

use futures::future::BoxFuture;
use motet_proto::tensor::Tensor;
use motet_runtime::status;
use tonic::Status;

use super::context::Context;
use super::elements::Shapes;
use super::record::{BodyRecord, NodeStats};
use super::run::{BodyOutcome, run_body};
use super::symbols::SymbolBindings;
use crate::check::Node;
use crate::plan::{BoundBody, Step};
use crate::scalar::Scalar;

/// Runs a bound node. Implemented by its `Bound`.
pub(crate) trait RunKind {
    /// Starts the node.
    fn start<'a>(&'a self, call: NodeCall<'a, '_>) -> Started<'a>;

    /// Returns the number of elements of the node's `map`, together with those of the maps inside
    /// it whose lists are known before it starts; 0 for other kinds.
    fn expected_elements(&self, arguments: &Shapes) -> u64 {
        let _ = arguments;
        0
    }
}

macro_rules! run_kinds {
    ($($(#[$doc:meta])* $key:literal => $module:ident :: $variant:ident,)*) => {
        impl Step {
            /// Returns the node as one that can run.
            pub(crate) fn run_kind(&self) -> &dyn RunKind {
                match self {
                    $(Self::$variant(bound) => bound,)*
                }
            }
        }
    };
}

node_kinds!(run_kinds);

/// A node whose arguments are there.
pub(crate) struct NodeCall<'a, 'r> {
    pub(crate) context: Context<'a>,
    pub(crate) node: &'a Node,
    /// One for each of the node's inputs; `None` where it is absent.
    pub(crate) arguments: Vec<Option<Tensor>>,
    /// One for each of the node's parameters.
    pub(crate) settings: Vec<Scalar>,
    /// The lengths that are known so far.
    pub(crate) lengths: &'r SymbolBindings,
}

/// The arguments of a node that holds others: what its bodies see.
pub(crate) struct BodyArguments<'a> {
    pub(crate) node: &'a Node,
    pub(crate) arguments: Vec<Option<Tensor>>,
    pub(crate) lengths: SymbolBindings,
}

/// The outcome of a node.
#[derive(Debug)]
pub(crate) struct NodeOutcome {
    /// One for each of the node's outputs, `None` where nothing reads it or it is absent; or why
    /// there are none.
    pub(crate) result: Result<Vec<Option<Tensor>>, Status>,
    /// Statistics for the receipt.
    pub(crate) stats: NodeStats,
    /// Operations that were done on the async runtime for it without waiting, see
    /// [`CoopBudget`](crate::compute::CoopBudget).
    pub(crate) work: u64,
}

/// A node that has started.
pub(crate) enum Started<'a> {
    /// Has its outcome already.
    Ready(NodeOutcome),
    /// To be awaited; dropping it cancels the node.
    Pending(BoxFuture<'a, NodeOutcome>),
}

impl NodeOutcome {
    /// Returns an outcome with these outputs and no statistics.
    pub(crate) fn done(outputs: Vec<Option<Tensor>>) -> Self {
        Self {
            result: Ok(outputs),
            stats: NodeStats::default(),
            work: 0,
        }
    }

    /// Returns the same outcome with `work` operations done on the async runtime.
    pub(crate) fn with_work(mut self, work: u64) -> Self {
        self.work = work;
        self
    }

    /// Returns an outcome with statistics.
    pub(crate) fn new(result: Result<Vec<Option<Tensor>>, Status>, stats: NodeStats) -> Self {
        Self {
            result,
            stats,
            work: 0,
        }
    }

    /// Returns a failure.
    pub(crate) fn failed(error: impl Into<Status>) -> Self {
        Self {
            result: Err(error.into()),
            stats: NodeStats::default(),
            work: 0,
        }
    }
}

impl<'a> NodeCall<'a, '_> {
    /// Starts a node that holds others, within the time that it has.
    pub(crate) fn start_bodies<F, R>(self, run: R) -> Started<'a>
    where
        R: FnOnce(Context<'a>, BodyArguments<'a>) -> F + Send + 'a,
        F: Future<Output = NodeOutcome> + Send + 'a,
    {
        let (mut context, node) = (self.context, self.node);
        let arguments = BodyArguments {
            node,
            arguments: self.arguments,
            lengths: self.lengths.clone(),
        };
        if node.policies.deadline.is_none() {
            return Started::Pending(Box::pin(run(context, arguments)));
        }
        let deadline = context.node_deadline(node);
        Started::Pending(Box::pin(async move {
            context.limits.deadline = deadline;
            let end = async { Ok(run(context, arguments).await) };
            deadline.run(end).await.unwrap_or_else(NodeOutcome::failed)
        }))
    }

    /// Takes arguments that the check promises to be there.
    ///
    /// # Errors
    /// INTERNAL when one is not.
    pub(crate) fn take_present(&mut self) -> Result<Vec<Tensor>, Status> {
        let arguments = std::mem::take(&mut self.arguments);
        let all: Option<Vec<Tensor>> = arguments.into_iter().collect();
        all.ok_or_else(|| status::internal("a value is not there that should be").into())
    }
}

impl<'a> BodyArguments<'a> {
    /// Runs one body over the node's arguments.
    pub(crate) async fn run(&self, context: Context<'a>, body: &'a BoundBody) -> BodyOutcome {
        let (arguments, lengths) = (self.arguments.clone(), self.lengths.clone());
        run_body(context, body, arguments, lengths).await
    }
}

impl BodyOutcome {
    /// Returns the result, and the records as those of the body of this index.
    pub(crate) fn split(
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
