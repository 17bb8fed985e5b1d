//! Where the time of a call went.

use std::time::Duration;

use motet_batcher::CallTiming;

/// The cost of one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallCost {
    /// Time spent waiting for an executor, or for a thread where there is no batcher.
    pub(crate) queue: Duration,
    /// Time spent reading tensors and tokenizing.
    pub(crate) input: Duration,
    /// Time of the forward pass, or of the task's own work where there is no batcher.
    pub(crate) infer: Duration,
    /// Time spent building the response.
    pub(crate) output: Duration,
    /// Rows of the call.
    pub(crate) rows: usize,
    /// Rows of the call that a model with the same weights had encoded, and that were not again.
    pub(crate) rows_reused: usize,
    /// Sum of the costs of the rows of the call that were computed.
    pub(crate) cost: usize,
    /// The unit of `cost`, such as `tokens`.
    pub(crate) unit: &'static str,
    /// The call's times in the batcher, where there is one.
    pub(crate) timing: Option<CallTiming>,
}
