//! Asking a server what its services take and give, by gRPC reflection v1, or v1alpha where it
//! knows no other.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream;
use http::uri::PathAndQuery;
use motet_runtime::deadline::Deadline;
use motet_runtime::status::{self, Reason, StatusBuilder};
use prost::Message;
use prost_reflect::{DescriptorPool, ServiceDescriptor};
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::client::{Grpc, GrpcService};
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::EndpointClient;
use crate::protobuf::descriptors;

/// The most files that a service may need.
const FILES_MAX: usize = 1000;
/// The most bytes of these files together.
const BYTES_MAX: usize = 16 << 20;
/// Both versions of the protocol have the same messages.
const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Why a service cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum ReflectError {
    /// The server has no such service.
    #[error("the server has no service `{service}`")]
    ServiceLookupError {
        /// The name that was asked for.
        service: String,
        /// The services that it has.
        known: Vec<String>,
    },
    /// The server has no reflection.
    #[error("the server has no gRPC reflection")]
    NoReflection,
    /// The server does not answer, or with an error.
    #[error("{}", .0.message())]
    Status(Status),
    /// The server's descriptors make no service.
    #[error("reflection gave descriptors that cannot be used: {0}")]
    Unusable(String),
}

impl From<Status> for ReflectError {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl EndpointClient {
    /// The service of this full name, as the server describes it.
    ///
    /// # Errors
    /// See [`ReflectError`]; DEADLINE_EXCEEDED when the answers take longer than `within`.
    pub async fn describe(
        &self,
        service: &str,
        within: Duration,
    ) -> Result<ServiceDescriptor, ReflectError> {
        let call = async { Ok(describe(self.transport(), service).await) };
        let answer = match Deadline::within(within).run(call).await {
            Ok(answer) => answer,
            Err(late) => Err(late.into()),
        };
        answer.map_err(|error| match error {
            ReflectError::Status(status) => ReflectError::Status(self.operator_error(&status)),
            error => error,
        })
    }
}

/// The service of this full name, as the server at the other end of `transport` describes it.
///
/// # Errors
/// See [`ReflectError`].
pub async fn describe<T>(transport: T, service: &str) -> Result<ServiceDescriptor, ReflectError>
where
    T: GrpcService<tonic::body::Body> + Clone,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    for path in PATHS {
        let mut server = Server {
            client: Grpc::new(transport.clone()),
            path: PathAndQuery::from_static(path),
        };
        match server.service(service).await {
            Err(ReflectError::Status(status)) if status.code() == Code::Unimplemented => {}
            answer => return answer,
        }
    }
    Err(ReflectError::NoReflection)
}

/// A server, asked in one version of the protocol.
struct Server<T> {
    client: Grpc<T>,
    path: PathAndQuery,
}

impl<T> Server<T>
where
    T: GrpcService<tonic::body::Body>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    async fn service(&mut self, service: &str) -> Result<ServiceDescriptor, ReflectError> {
        let asked = self.files(service).await;
        let files = match asked {
            Err(ReflectError::Status(status)) if status.code() == Code::NotFound => {
                return Err(ReflectError::ServiceLookupError {
                    service: service.to_owned(),
                    known: self.services().await?,
                });
            }
            files => files?,
        };
        let set = FileDescriptorSet { file: files };
        let pool = descriptors::from_files(set).map_err(ReflectError::Unusable)?;
        let found = pool.get_service_by_name(service);
        found.ok_or_else(|| ReflectError::Unusable(format!("they lack `{service}`")))
    }

    /// The file of a service, and all that it imports.
    async fn files(&mut self, service: &str) -> Result<Vec<FileDescriptorProto>, ReflectError> {
        let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
        let mut questions = vec![MessageRequest::FileContainingSymbol(service.to_owned())];
        let mut bytes_left = BYTES_MAX;
        while let Some(question) = questions.pop() {
            for file in self.ask_for_files(question).await? {
                for import in &file.dependency {
                    let asked = |q: &MessageRequest| matches!(q, MessageRequest::FileByFilename(f) if f == import);
                    if !files.contains_key(import) && !questions.iter().any(asked) {
                        questions.push(MessageRequest::FileByFilename(import.clone()));
                    }
                }
                let left = bytes_left.checked_sub(file.encoded_len());
                bytes_left = left.ok_or_else(|| {
                    ReflectError::Unusable(format!("they have more than {BYTES_MAX} bytes"))
                })?;
                files.insert(file.name().to_owned(), file);
            }
            if files.len() + questions.len() > FILES_MAX {
                let why = format!("they are more than {FILES_MAX} files");
                return Err(ReflectError::Unusable(why));
            }
        }
        Ok(files.into_values().collect())
    }

    async fn ask_for_files(
        &mut self,
        question: MessageRequest,
    ) -> Result<Vec<FileDescriptorProto>, ReflectError> {
        let answer = self.ask(question.clone()).await;
        let files = match answer {
            Ok(MessageResponse::FileDescriptorResponse(files)) => files.file_descriptor_proto,
            Ok(_) => return Err(ReflectError::Unusable("the answer has no files".to_owned())),
            Err(error) => {
                // Some servers leave out the files that every client has.
                if let MessageRequest::FileByFilename(name) = &question
                    && let Some(file) = DescriptorPool::global().get_file_by_name(name)
                {
                    return Ok(vec![file.file_descriptor_proto().clone()]);
                }
                return Err(error.into());
            }
        };
        let decode = |bytes: &Vec<u8>| FileDescriptorProto::decode(bytes.as_slice());
        let files: Result<_, _> = files.iter().map(decode).collect();
        files.map_err(|e| ReflectError::Unusable(e.to_string()))
    }

    /// The services that there are, but those of reflection itself.
    async fn services(&mut self) -> Result<Vec<String>, ReflectError> {
        let question = MessageRequest::ListServices(String::new());
        let MessageResponse::ListServicesResponse(list) = self.ask(question).await? else {
            return Err(ReflectError::Unusable("the answer is no list".to_owned()));
        };
        let names = list.service.into_iter().map(|s| s.name);
        Ok(names
            .filter(|name| !name.starts_with("grpc.reflection."))
            .collect())
    }

    async fn ask(&mut self, question: MessageRequest) -> Result<MessageResponse, Status> {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        self.client
            .ready()
            .await
            .map_err(|e| Status::from_error(e.into()))?;
        let codec = ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
        let request = Request::new(stream::iter([request]));
        let path = self.path.clone();
        let mut answers = self
            .client
            .streaming(request, path, codec)
            .await?
            .into_inner();
        let answer = answers.message().await?.and_then(|a| a.message_response);
        match answer {
            Some(MessageResponse::ErrorResponse(error)) => Err(StatusBuilder::new(
                Reason::from_code(Code::from_i32(error.error_code)),
                error.error_message,
            )
            .into()),
            Some(answer) => Ok(answer),
            None => Err(status::internal("reflection gave no answer").into()),
        }
    }
}
