//! Calls of a pipeline for messages of a stream.

use std::sync::Arc;

use motet_rows::{Answer, Code, Failure, Pipeline};
use motet_stream::{CallContext, Calls};
use serde_json::{Map, Value};
use tonic::Request;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};

use crate::client::{ClientError, PipelineClient, failure};

/// Metadata with the priority of a call.
const PRIORITY: &str = "motet-priority";
/// The least of the priorities that are bulk.
const BULK: &str = "2";

/// A pipeline that answers messages of a stream.
#[derive(Debug)]
pub(super) struct PipelineCalls {
    pipeline: Arc<PipelineClient>,
    is_bulk: bool,
}

/// A call for a message.
pub(super) struct MessageCall {
    pipeline: Arc<PipelineClient>,
    is_bulk: bool,
    context: CallContext,
}

impl PipelineCalls {
    pub(super) fn new(pipeline: PipelineClient, is_bulk: bool) -> Self {
        Self {
            pipeline: Arc::new(pipeline),
            is_bulk,
        }
    }
}

impl Calls for PipelineCalls {
    type Call = MessageCall;

    fn call(&self, context: CallContext) -> MessageCall {
        MessageCall {
            pipeline: self.pipeline.clone(),
            is_bulk: self.is_bulk,
            context,
        }
    }
}

impl Pipeline for MessageCall {
    async fn run(&self, inputs: Map<String, Value>) -> Result<Answer, Failure> {
        let message = self
            .pipeline
            .message(Value::Object(inputs))
            .map_err(of_client)?;
        let mut request = Request::new(message);
        let bulk = self.is_bulk.then(|| (PRIORITY, BULK.to_owned()));
        let CallContext {
            traceparent,
            tracestate,
        } = self.context.clone();
        let trace = [("traceparent", traceparent), ("tracestate", tracestate)];
        let trace = trace
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in trace.chain(bulk) {
            // A header of a message that no call can have is left out.
            if let Ok(value) = AsciiMetadataValue::try_from(value) {
                request
                    .metadata_mut()
                    .insert(AsciiMetadataKey::from_static(name), value);
            }
        }
        let answer = self.pipeline.answer(request).await.map_err(of_client)?;
        Ok(Answer {
            outputs: answer.outputs,
            degraded: answer.degraded,
            tokens: 0,
        })
    }
}

fn of_client(error: ClientError) -> Failure {
    match error {
        ClientError::Status(status) => failure(&status),
        ClientError::Inputs { .. } => Failure::new(Code::InvalidArgument, error.to_string()),
        ClientError::Answer(_) => Failure::new(Code::Internal, error.to_string()),
        other => Failure::new(Code::Unavailable, other.to_string()),
    }
}
