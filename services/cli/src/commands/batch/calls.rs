//! Rows as calls of a pipeline.

use std::time::Duration;

use motet_rows::{Answer, Code, Failure, Pipeline};
use motet_runtime::deadline::Deadline;
use serde_json::{Map, Value};
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::messages;
use crate::client::{PipelineClient, degraded, failure};

/// Metadata that asks for a receipt, which has the tokens.
const RECEIPT_METADATA: &str = "motet-receipt";
/// Metadata of the priority, and that of a batch: people go first.
const PRIORITY_METADATA: &str = "motet-priority";
const BULK: &str = "2";

/// A pipeline that answers rows, of a server or of this process.
#[derive(Debug)]
pub(super) struct Calls {
    pipeline: PipelineClient,
    deadline: Option<Duration>,
}

impl Calls {
    /// Returns calls of a pipeline, each with this time at most.
    pub(super) const fn new(pipeline: PipelineClient, deadline: Option<Duration>) -> Self {
        Self { pipeline, deadline }
    }
}

impl Pipeline for Calls {
    async fn run(&self, inputs: Map<String, Value>) -> Result<Answer, Failure> {
        let inputs = messages::inputs(&self.pipeline.input(), inputs);
        let message = self.pipeline.message(inputs);
        let message =
            message.map_err(|error| Failure::new(Code::InvalidArgument, error.to_string()))?;
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(RECEIPT_METADATA, MetadataValue::from_static("1"));
        metadata.insert(PRIORITY_METADATA, MetadataValue::from_static(BULK));
        let deadline = self.deadline.map(Deadline::within);
        if let Some(deadline) = deadline {
            deadline.write(request.metadata_mut());
        }
        let call = self.pipeline.run(request);
        let answered = match deadline {
            Some(deadline) => deadline.run(call).await,
            None => call.await,
        };
        let response = answered.map_err(|status| failure(&status))?;
        let degraded = degraded(&response);
        let answer = messages::answer(response.get_ref())?;
        Ok(Answer { degraded, ..answer })
    }
}
