//! Rows as calls of a pipeline.

use std::error::Error;
use std::time::Duration;

use motet_rows::{Answer, Code, Failure, Pipeline};
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use serde_json::{Map, Value};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

use super::messages;
use crate::client::{PipelineClient, degraded};

/// Metadata that asks for a receipt, which has the tokens.
const RECEIPT_METADATA: &str = "motet-receipt";
/// Metadata of the priority, and that of a batch: people go first.
const PRIORITY_METADATA: &str = "motet-priority";
const BULK: &str = "2";
/// Key of an error's details with the node that failed.
const NODE: &str = "node";

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

/// Returns a status as the failure of a row.
fn failure(status: &Status) -> Failure {
    let details = status::read(status);
    // A status with a cause was made on this side, of a connection that broke.
    let code = match status.source() {
        Some(_) => Code::Unavailable,
        None => Code::of_number(status.code() as i32),
    };
    Failure {
        code,
        message: status.message().to_owned(),
        node: details.metadata.get(NODE).cloned(),
        retry_after: details.retry_after,
    }
}

#[cfg(test)]
mod tests {
    use motet_runtime::status::{Reason, StatusBuilder};

    use super::*;

    #[test]
    fn a_status_is_a_failure_with_its_details() {
        let full: Status = StatusBuilder::new(Reason::QueueFull, "full")
            .retry_after(Duration::from_secs(2))
            .node("d")
            .into();
        let failure_of = failure(&full);
        assert_eq!(failure_of.code, Code::ResourceExhausted);
        assert_eq!(failure_of.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(failure_of.node.as_deref(), Some("d"));
        let broken = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset");
        let broken = Status::from_error(Box::new(broken));
        assert_eq!(failure(&broken).code, Code::Unavailable);
    }
}
