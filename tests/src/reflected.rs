//! A client that knows services by the server's reflection only.

use std::collections::BTreeMap;

use http::uri::PathAndQuery;
use motet_gateway::protobuf::DynamicCodec;
use motet_runtime::status;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions};
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use serde_json::Value;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::connection::Connection;
use crate::wait::until;

/// A message of error details. It is in an `Any`, and JSON of an `Any` needs the descriptor.
const ERROR_DETAILS: &str = "google.rpc.ErrorInfo";

/// The versions of the reflection protocol; their messages are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `grpc.reflection.v1`.
    V1,
    /// `grpc.reflection.v1alpha`, which many tools still speak.
    V1Alpha,
}

/// Makes one request to the reflection service.
///
/// # Errors
/// The error of the service.
pub async fn ask(
    connection: &Connection,
    version: Version,
    question: MessageRequest,
) -> Result<MessageResponse, Status> {
    let path = match version {
        Version::V1 => "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Version::V1Alpha => "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let codec =
        tonic_prost::ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
    let mut grpc = connection.grpc();
    grpc.ready().await.expect("the connection is up");
    let requests = Request::new(tokio_stream::once(request));
    let answers = grpc.streaming(requests, PathAndQuery::from_static(path), codec);
    let answer = answers.await?.into_inner().message().await?;
    match answer.and_then(|answer| answer.message_response) {
        Some(MessageResponse::ErrorResponse(error)) => Err(Status::new(
            Code::from_i32(error.error_code),
            error.error_message,
        )),
        Some(response) => Ok(response),
        None => Err(Status::internal("no answer")),
    }
}

/// Lists the names of all services.
///
/// # Panics
/// If reflection does not list them.
pub async fn services(connection: &Connection, version: Version) -> Vec<String> {
    let question = MessageRequest::ListServices(String::new());
    match ask(connection, version, question).await {
        Ok(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|s| s.name).collect()
        }
        other => panic!("no list of services: {other:?}"),
    }
}

/// Returns the files that declare `symbols`, and the files that they import.
///
/// # Errors
/// The error of the service.
pub async fn pool(
    connection: &Connection,
    version: Version,
    symbols: &[&str],
) -> Result<DescriptorPool, Status> {
    let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    let symbols = symbols.iter().map(|symbol| (*symbol).to_owned());
    let mut questions: Vec<_> = symbols.map(MessageRequest::FileContainingSymbol).collect();
    while let Some(question) = questions.pop() {
        let MessageResponse::FileDescriptorResponse(answer) =
            ask(connection, version, question).await?
        else {
            return Err(Status::internal("another answer"));
        };
        for file in answer.file_descriptor_proto {
            let file = FileDescriptorProto::decode(&*file).expect("a file");
            let missing = file.dependency.iter().filter(|f| !files.contains_key(*f));
            questions.extend(missing.cloned().map(MessageRequest::FileByFilename));
            files.insert(file.name().to_owned(), file);
        }
    }
    let file = files.into_values().collect();
    Ok(DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file }).expect("whole files"))
}

/// Calls of one service, in JSON.
#[derive(Clone, Debug)]
pub struct Service {
    connection: Connection,
    name: String,
    pool: DescriptorPool,
}

impl Service {
    /// Gets the descriptors of a service.
    ///
    /// # Errors
    /// If the server does not have it.
    pub async fn learn(connection: &Connection, name: &str) -> Result<Self, Status> {
        Ok(Self {
            connection: connection.clone(),
            name: name.to_owned(),
            pool: pool(connection, Version::V1, &[name, ERROR_DETAILS]).await?,
        })
    }

    /// Returns the method with this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn method(&self, name: &str) -> MethodDescriptor {
        let service = self.pool.get_service_by_name(&self.name).expect("learnt");
        let method = service.methods().find(|m| m.name() == name);
        method.unwrap_or_else(|| panic!("{} has no method {name}", self.name))
    }

    /// Makes a request message of JSON.
    ///
    /// # Panics
    /// If it does not fit the message.
    pub fn message(&self, method: &str, json: &Value) -> DynamicMessage {
        let input = self.method(method).input();
        DynamicMessage::deserialize(input, json).unwrap_or_else(|e| panic!("{json}: {e}"))
    }

    /// Makes a unary call.
    ///
    /// # Errors
    /// The error of the server.
    pub async fn call(&self, method: &str, json: Value) -> Result<Value, Status> {
        let request = Request::new(self.message(method, &json));
        self.request(method, request)
            .await
            .map(Response::into_inner)
    }

    /// Makes a unary call that must succeed. While the server is overloaded, the call is repeated
    /// after the delay of `RetryInfo`.
    ///
    /// # Panics
    /// After another error, or without an answer within the time limit.
    pub async fn answer(&self, method: &str, json: Value) -> Value {
        until("an answer", async || {
            match self.call(method, json.clone()).await {
                Ok(answer) => Some(answer),
                Err(error) => {
                    let busy = matches!(
                        error.code(),
                        Code::ResourceExhausted | Code::DeadlineExceeded
                    );
                    assert!(busy, "{error}");
                    let wait = status::read(&error).retry_after.unwrap_or_default();
                    tokio::time::sleep(wait).await;
                    None
                }
            }
        })
        .await
    }

    /// Makes a unary call with metadata in both directions.
    ///
    /// # Errors
    /// The error of the server.
    pub async fn request(
        &self,
        method: &str,
        request: Request<DynamicMessage>,
    ) -> Result<Response<Value>, Status> {
        let mut grpc = self.connection.grpc();
        grpc.ready()
            .await
            .map_err(|e| Status::unavailable(e.to_string()))?;
        let codec = DynamicCodec::new(self.method(method).output());
        let answer = grpc.unary(request, self.path(method), codec).await?;
        Ok(answer.map(|message| json(&message)))
    }

    /// Makes a call with streams in both directions.
    ///
    /// # Errors
    /// The error of the server before the first message.
    pub async fn stream(
        &self,
        method: &str,
        requests: Request<impl Stream<Item = DynamicMessage> + Send + 'static>,
    ) -> Result<Answers, Status> {
        let mut grpc = self.connection.grpc();
        grpc.ready()
            .await
            .map_err(|e| Status::unavailable(e.to_string()))?;
        let codec = DynamicCodec::new(self.method(method).output());
        let answers = grpc.streaming(requests, self.path(method), codec).await?;
        Ok(Answers(answers.into_inner()))
    }

    fn path(&self, method: &str) -> PathAndQuery {
        PathAndQuery::try_from(format!("/{}/{method}", self.name)).expect("a path")
    }
}

/// The responses of a stream.
#[derive(Debug)]
pub struct Answers(Streaming<DynamicMessage>);

impl Answers {
    /// Returns the next response; `None` at the end.
    ///
    /// # Errors
    /// The error that ended the stream.
    pub async fn next(&mut self) -> Result<Option<Value>, Status> {
        let message = self.0.next().await.transpose()?;
        Ok(message.map(|message| json(&message)))
    }
}

/// Returns a message as JSON, with the field names of the .proto file.
pub fn json(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("a message is JSON")
}
