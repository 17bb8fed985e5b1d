//! One pipeline of a server, with its messages.

use std::fmt;

use futures::Stream;
use motet_gateway::grpc::reflect::{self, ReflectError};
use motet_gateway::protobuf::DynamicCodec;
use motet_gateway::serve::typed::service_name;
use motet_runtime::status::{deadline_exceeded, internal, unavailable};
use prost_reflect::{
    DynamicMessage, MessageDescriptor, MethodDescriptor, ReflectMessage, SerializeOptions,
};
use serde_json::{Map, Value};
use tonic::client::Grpc;
use tonic::codec::Streaming;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Response, Status};

use super::{ANSWER_BYTES_MAX, Client, ClientError, Transport, within};

/// The method of a pipeline's service for one request.
const METHOD: &str = "Run";
/// The method for many requests over one stream.
const STREAM_METHOD: &str = "RunStream";
/// The metadata of an answer that names the degraded nodes.
const DEGRADED_METADATA: &str = "motet-degraded";
/// The number of the first field of a response that is not an output.
pub(crate) const FIRST_OWN_FIELD: u32 = 16_000;

/// One pipeline of a server, whose messages are known: it is called without asking for them again.
/// [`Client::pipeline`] returns it.
#[derive(Clone)]
pub struct PipelineClient {
    client: Client,
    name: String,
    method: MethodDescriptor,
    path: PathAndQuery,
}

/// The answer of a pipeline.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The outputs by name, with the names of the pipeline file.
    pub outputs: Map<String, Value>,
    /// The nodes whose results are substitutes or incomplete; none in most answers.
    pub degraded: Vec<String>,
}

impl PipelineClient {
    pub(super) async fn describe(client: Client, name: &str) -> Result<Self, ClientError> {
        let service = service_name(name);
        let answer = reflect::describe(client.transport.clone(), &service);
        let answer = match client.timeout {
            Some(timeout) => match tokio::time::timeout(timeout, answer).await {
                Ok(answer) => answer,
                Err(_) => {
                    let silent = Status::from(deadline_exceeded("the server is silent"));
                    return Err(silent.into());
                }
            },
            None => answer.await,
        };
        let described = answer.map_err(|error| match error {
            ReflectError::ServiceLookupError { .. } => ClientError::NoPipeline {
                pipeline: name.to_owned(),
            },
            ReflectError::Status(status) => status.into(),
            error => ClientError::Reflection(error.to_string()),
        })?;
        let unusable = || ClientError::Reflection(format!("there is no method {service}/{METHOD}"));
        let method = described.methods().find(|m| m.name() == METHOD);
        let path = PathAndQuery::try_from(format!("/{service}/{METHOD}"));
        Ok(Self {
            client,
            name: name.to_owned(),
            method: method.ok_or_else(unusable)?,
            path: path.map_err(|_| unusable())?,
        })
    }

    /// Returns the name of the pipeline.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls the pipeline with its inputs by name: an object with a number, a text or a list for
    /// each, such as `json!({ "query": "why", "documents": ["a", "b"] })`. Bytes are base64.
    ///
    /// # Errors
    /// [`ClientError::Inputs`] when an input is unknown or of another type, [`ClientError::Status`]
    /// with the server's error.
    pub async fn call(&self, inputs: Value) -> Result<Answer, ClientError> {
        let (request, deadline) = self.client.request(self.message(inputs)?);
        let answer = within(deadline, self.run(request)).await?;
        Ok(Answer {
            degraded: degraded(&answer),
            outputs: outputs(answer.get_ref())?,
        })
    }

    /// Returns the message of the inputs.
    pub(crate) fn input(&self) -> MessageDescriptor {
        self.method.input()
    }

    /// Returns the request message of an object with the inputs.
    pub(crate) fn message(&self, inputs: Value) -> Result<DynamicMessage, ClientError> {
        let descriptor = self.input();
        let message = descriptor.full_name().to_owned();
        DynamicMessage::deserialize(descriptor, inputs).map_err(|error| ClientError::Inputs {
            message,
            reason: error.to_string(),
        })
    }

    /// Sends requests over one stream. Their answers come in any order.
    pub(crate) async fn run_stream(
        &self,
        requests: Request<impl Stream<Item = DynamicMessage> + Send + 'static>,
    ) -> Result<Streaming<DynamicMessage>, Status> {
        let path = format!("/{}/{STREAM_METHOD}", service_name(&self.name));
        let path = PathAndQuery::try_from(path);
        let path = path.map_err(|error| Status::from(internal(error.to_string())))?;
        let mut grpc = self.grpc().await?;
        let codec = DynamicCodec::new(self.method.output());
        let answers = grpc.streaming(requests, path, codec).await?;
        Ok(answers.into_inner())
    }

    /// Runs one request.
    pub(crate) async fn run(
        &self,
        request: Request<DynamicMessage>,
    ) -> Result<Response<DynamicMessage>, Status> {
        let mut grpc = self.grpc().await?;
        let codec = DynamicCodec::new(self.method.output());
        grpc.unary(request, self.path.clone(), codec).await
    }

    /// Returns a client that is ready for one call.
    async fn grpc(&self) -> Result<Grpc<Transport>, Status> {
        let transport = self.client.transport.clone();
        let mut grpc = Grpc::new(transport).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::from(unavailable(error.to_string())))?;
        Ok(grpc)
    }
}

impl fmt::Debug for PipelineClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineClient")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Returns the nodes of an answer whose results are substitutes or incomplete.
pub(crate) fn degraded(answer: &Response<DynamicMessage>) -> Vec<String> {
    let nodes = answer.metadata().get(DEGRADED_METADATA);
    let nodes = nodes.and_then(|nodes| nodes.to_str().ok());
    let nodes = nodes.into_iter().flat_map(|nodes| nodes.split(','));
    nodes.map(|node| node.trim().to_owned()).collect()
}

/// Returns the outputs in an answer, empty lists and zeros among them.
fn outputs(answer: &DynamicMessage) -> Result<Map<String, Value>, ClientError> {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    let json = answer.serialize_with_options(serde_json::value::Serializer, &options);
    let mut outputs = match json {
        Ok(Value::Object(outputs)) => outputs,
        Ok(other) => return Err(ClientError::Answer(format!("{other} is no object"))),
        Err(error) => return Err(ClientError::Answer(error.to_string())),
    };
    for field in answer.descriptor().fields() {
        if field.number() >= FIRST_OWN_FIELD {
            outputs.remove(field.name());
        }
    }
    Ok(outputs)
}
