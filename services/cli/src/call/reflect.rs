//! Asking a server for the descriptors of a service, by gRPC reflection v1.

use std::collections::BTreeMap;

use prost_reflect::DescriptorPool;
use prost_reflect::prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// The most files that a service may need.
const FILES_MAX: usize = 1000;

/// The descriptors of `service` and of all that its file imports.
pub(super) async fn describe(channel: Channel, service: &str) -> Result<DescriptorPool, Status> {
    let mut client = ServerReflectionClient::new(channel);
    let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    let mut questions = vec![MessageRequest::FileContainingSymbol(service.to_owned())];
    while let Some(question) = questions.pop() {
        for file in ask(&mut client, question).await? {
            for import in &file.dependency {
                let asked = |q: &MessageRequest| matches!(q, MessageRequest::FileByFilename(f) if f == import);
                if !files.contains_key(import) && !questions.iter().any(asked) {
                    questions.push(MessageRequest::FileByFilename(import.clone()));
                }
            }
            files.insert(file.name().to_owned(), file);
        }
        if files.len() > FILES_MAX {
            return Err(Status::resource_exhausted(format!(
                "the service needs more than {FILES_MAX} files"
            )));
        }
    }
    let set = FileDescriptorSet {
        file: files.into_values().collect(),
    };
    DescriptorPool::from_file_descriptor_set(set).map_err(|e| Status::internal(e.to_string()))
}

async fn ask(
    client: &mut ServerReflectionClient<Channel>,
    question: MessageRequest,
) -> Result<Vec<FileDescriptorProto>, Status> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await?
        .into_inner();
    let answer = answers
        .next()
        .await
        .ok_or_else(|| Status::internal("reflection gave no answer"))??;
    match answer.message_response {
        Some(MessageResponse::FileDescriptorResponse(files)) => files
            .file_descriptor_proto
            .iter()
            .map(|bytes| {
                FileDescriptorProto::decode(bytes.as_slice())
                    .map_err(|e| Status::internal(e.to_string()))
            })
            .collect(),
        Some(MessageResponse::ErrorResponse(error)) => Err(Status::new(
            Code::from_i32(error.error_code),
            error.error_message,
        )),
        _ => Err(Status::internal("reflection gave another answer")),
    }
}
