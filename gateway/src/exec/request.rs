//! A request as the executor takes it, and its result.

use std::time::Duration;

use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;

use super::record::NodeRecord;

/// Result of a request.
#[derive(Debug)]
pub struct RequestOutcome {
    /// For each output of the pipeline, its value or its columns: `None` for those that are
    /// absent or were not asked for.
    pub outputs: Vec<Vec<Option<Tensor>>>,
    /// One record for each node that ran, in the order of their starts.
    pub records: Vec<NodeRecord>,
    /// Time from start to end.
    pub total: Duration,
}

/// Deadline and priority of one request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Time by which the answer must be there.
    pub deadline: Deadline,
    /// The `priority` parameter of the Open Inference Protocol, passed on to every model.
    pub priority: Option<i64>,
}

/// The outputs of a pipeline that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputSelection<'w> {
    /// All of them.
    All,
    /// Those columns, in the order of [`CheckedPipeline::columns`], for which this is true. Nodes
    /// that only others need do not run.
    ///
    /// [`CheckedPipeline::columns`]: crate::check::CheckedPipeline::columns
    Columns(&'w [bool]),
}

impl OutputSelection<'_> {
    /// Returns `true` if the request asks for the column of this index.
    pub(super) fn has(self, column: usize) -> bool {
        match self {
            Self::All => true,
            Self::Columns(wanted) => wanted.get(column).copied().unwrap_or(false),
        }
    }
}
