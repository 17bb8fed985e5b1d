//! What stands inside a node, run as a part of it.

use motet_proto::tensor::Tensor;
use tonic::Status;

use super::context::Context;
use super::lengths::Lengths;
use super::record::NodeRecord;
use super::run::{Frame, Run};
use crate::check::Body;
use crate::plan::Graph;

/// What a body came to.
#[derive(Debug)]
pub(super) struct BodyEnd {
    /// One for each result of the body, `None` where nothing reads it or it is absent; or why
    /// there are none.
    pub result: Result<Vec<Option<Tensor>>, Status>,
    /// What happened to each of its nodes.
    pub records: Vec<NodeRecord>,
    /// Operations that were done on the async runtime for it without waiting.
    pub work: u64,
}

/// Runs a body over the arguments of the node around it.
pub(super) async fn run<'a>(
    context: Context<'a>,
    body: &'a Body,
    graph: &'a Graph,
    arguments: Vec<Option<Tensor>>,
    lengths: Lengths,
) -> BodyEnd {
    let frame = Frame {
        nodes: &body.nodes,
        graph,
        is_inside: true,
    };
    let mut run = Run::new(context, frame, &graph.topology.liveness, arguments, lengths);
    let result = run.drive().await.map(|()| {
        let results = body.results.iter();
        results
            .map(|source| source.as_ref().and_then(|s| run.value(s)))
            .collect()
    });
    BodyEnd {
        result,
        work: run.work(),
        records: run.into_records(),
    }
}
