//! Rows as calls of a pipeline.

use std::sync::Arc;
use std::time::Duration;

use motet_rows::{Answer, Code, Failure, Pipeline};
use motet_runtime::deadline::Deadline;
use motet_stream::CallContext;
use serde_json::{Map, Value};
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;

use super::messages;
use crate::client::{PipelineClient, degraded, failure};

/// Metadata that asks for a receipt, which has the tokens.
const RECEIPT: (&str, &str) = ("motet-receipt", "1");
/// Metadata of the bulk priority: interactive calls go first.
const BULK: (&str, &str) = ("motet-priority", "2");

/// Calls of a pipeline, of a server or of this process. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct RowCalls {
    pipeline: Arc<PipelineClient>,
    deadline: Option<Duration>,
    metadata: Vec<(&'static str, AsciiMetadataValue)>,
}

impl RowCalls {
    /// Returns calls of a pipeline.
    pub(crate) fn new(pipeline: PipelineClient) -> Self {
        Self {
            pipeline: Arc::new(pipeline),
            deadline: None,
            metadata: Vec::new(),
        }
    }

    /// Gives each call this time at most.
    pub(crate) fn within(mut self, deadline: Option<Duration>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Gives calls the bulk priority.
    pub(crate) fn bulk(self) -> Self {
        self.with(BULK.0, BULK.1)
    }

    /// Asks for the tokens of each call.
    pub(crate) fn with_tokens(self) -> Self {
        self.with(RECEIPT.0, RECEIPT.1)
    }

    /// Puts calls into the trace of a message.
    pub(crate) fn traced(self, context: &CallContext) -> Self {
        let parent = context.traceparent.as_deref().unwrap_or_default();
        let state = context.tracestate.as_deref().unwrap_or_default();
        self.with("traceparent", parent).with("tracestate", state)
    }

    /// Adds metadata. A value that is empty, or that no call can have, is left out.
    fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = AsciiMetadataValue::try_from(value).ok();
        let value = value.filter(|value| !value.is_empty());
        self.metadata.extend(value.map(|value| (name, value)));
        self
    }
}

impl Pipeline for RowCalls {
    async fn run(&self, inputs: Map<String, Value>) -> Result<Answer, Failure> {
        let inputs = messages::inputs(&self.pipeline.input(), inputs);
        let message = self.pipeline.message(inputs);
        let message =
            message.map_err(|error| Failure::new(Code::InvalidArgument, error.to_string()))?;
        let mut request = Request::new(message);
        for (name, value) in &self.metadata {
            request.metadata_mut().insert(*name, value.clone());
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Matrices are lists of lists, on both ways.
    #[tokio::test]
    async fn rows_and_answers_are_json_as_files_and_messages_have_it() {
        let yaml = r#"
pipeline: pick
inputs: { vector: "float[N,2]", index: "i32[K]" }
nodes: { picked: { op: gather, in: { vector: $vector, index: $index } } }
outputs: { vector: $picked.vector }
"#;
        let server = crate::Server::from_yaml(yaml).await.unwrap();
        server.ready().await.unwrap();
        let pipeline = server.client().pipeline("pick").await.unwrap();
        let calls = RowCalls::new(pipeline).bulk().with_tokens();
        let inputs = |inputs: Value| inputs.as_object().unwrap().clone();
        let row = json!({ "vector": [[1.5, 0.1], [2.0, 3.0]], "index": [1, 0] });
        let answer = calls.run(inputs(row)).await.unwrap();
        let expected = json!({ "vector": [[2.0, 3.0], [1.5, 0.1]] });
        assert_eq!(Value::Object(answer.outputs), expected);
        let row = json!({ "vector": [[1.5, 0.1]], "index": [7] });
        let failure = calls.run(inputs(row)).await.unwrap_err();
        assert_eq!(failure.code, Code::InvalidArgument, "{failure}");
        server.drain().await;
    }
}
