//! Calls of a pipeline for messages of a stream.

use motet_stream::{CallContext, Calls};

use crate::client::PipelineClient;
use crate::rows::RowCalls;

/// A pipeline that answers messages of a stream.
#[derive(Debug)]
pub(super) struct PipelineCalls(RowCalls);

impl PipelineCalls {
    pub(super) fn new(pipeline: PipelineClient, is_bulk: bool) -> Self {
        let calls = RowCalls::new(pipeline);
        Self(match is_bulk {
            true => calls.bulk(),
            false => calls,
        })
    }
}

impl Calls for PipelineCalls {
    type Call = RowCalls;

    fn call(&self, context: CallContext) -> RowCalls {
        self.0.clone().traced(&context)
    }
}
