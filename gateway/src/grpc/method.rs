//! One method of a server outside: the call, and the messages of its answer.

use std::sync::Arc;

use bytes::Buf;
use http::uri::PathAndQuery;
use motet_runtime::deadline::Deadline;
use motet_runtime::status::{self, Reason};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use super::EndpointClient;
use crate::call::errors::UpstreamInfo;
use crate::call::transport::{outgoing, undecodable};
use crate::call::{CallError, Failure, SharedLimits, Upstream};
use crate::compute::{compute_here, converting};
use crate::protobuf::DynamicShapes;

/// A method of a server, and what its answer may come to.
#[derive(Debug, Clone)]
pub struct Method {
    remote: EndpointClient,
    path: PathAndQuery,
    answers: AnswerCodec,
    /// For an answer that is a stream: its most messages.
    messages_max: Option<usize>,
}

impl Method {
    /// The method at `path`, `/package.Service/Method`, that answers with one `response`, or with
    /// a stream of at most `messages_max` of them.
    ///
    /// # Errors
    /// When the path is none.
    pub fn new(
        remote: EndpointClient,
        path: &str,
        response: MessageDescriptor,
        messages_max: Option<usize>,
    ) -> Result<Self, http::uri::InvalidUri> {
        Ok(Self {
            path: PathAndQuery::try_from(path)?,
            remote,
            answers: AnswerCodec::new(response),
            messages_max,
        })
    }

    /// The server.
    pub const fn remote(&self) -> &EndpointClient {
        &self.remote
    }

    async fn call(
        &self,
        request: Request<Arc<DynamicMessage>>,
    ) -> Result<Vec<DynamicMessage>, Status> {
        let bytes_max = self.remote.message_bytes_max();
        let mut client = Grpc::new(self.remote.transport())
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(bytes_max);
        client
            .ready()
            .await
            .map_err(|e| Status::from_error(e.into()))?;
        let codec = self.answers.clone();
        let path = self.path.clone();
        let Some(messages_max) = self.messages_max else {
            let answer = client.unary(request, path, codec).await?;
            return Ok(vec![answer.into_inner().message]);
        };
        let answer = client.server_streaming(request, path, codec).await?;
        let mut stream = answer.into_inner();
        let mut messages = Vec::new();
        let mut bytes_left = bytes_max;
        while let Some(answer) = stream.message().await? {
            if messages.len() == messages_max {
                let what = format!("more than {messages_max} messages, which is `max_items`");
                return Err(too_much(&what));
            }
            bytes_left = bytes_left
                .checked_sub(answer.bytes)
                .ok_or_else(|| too_much(&format!("more than {bytes_max} bytes")))?;
            messages.push(answer.message);
        }
        Ok(messages)
    }
}

fn too_much(what: &str) -> Status {
    status::resource_exhausted(format!("the answer is a stream of {what}"), None)
        .reason(Reason::OverLimit)
        .into()
}

impl Upstream for Method {
    /// Shared, so that a call can be made again without a copy.
    type Request = Arc<DynamicMessage>;
    type Response = Vec<DynamicMessage>;

    fn kind(&self) -> &'static str {
        "endpoint"
    }

    fn label(&self) -> &str {
        self.remote.name()
    }

    fn address(&self) -> &str {
        self.remote.address()
    }

    fn info(&self) -> UpstreamInfo<'_> {
        let path = self.path.as_str();
        self.remote.info(path.strip_prefix('/').unwrap_or(path))
    }

    fn limits(&self) -> &SharedLimits {
        self.remote.limits()
    }

    async fn send(
        &self,
        message: Arc<DynamicMessage>,
        deadline: Deadline,
    ) -> Result<Vec<DynamicMessage>, CallError> {
        let request = outgoing(message, Some(deadline));
        let answer = deadline.run(self.call(request)).await;
        answer.map_err(|error| CallError {
            status: self.info().error(&error),
            failure: Failure::of(&error, deadline),
        })
    }
}

/// Encodes requests of any type, and decodes answers of one.
#[derive(Debug, Clone)]
struct AnswerCodec {
    response: MessageDescriptor,
    /// Sizes of answers in memory.
    shapes: Arc<DynamicShapes>,
}

impl AnswerCodec {
    fn new(response: MessageDescriptor) -> Self {
        Self {
            shapes: Arc::new(DynamicShapes::new(&response)),
            response,
        }
    }
}

/// A message, and how many bytes it had.
struct SizedMessage {
    message: DynamicMessage,
    bytes: usize,
}

struct AnswerDecoder(AnswerCodec);

impl Codec for AnswerCodec {
    type Encode = Arc<DynamicMessage>;
    type Decode = SizedMessage;
    type Encoder = SharedEncoder;
    type Decoder = AnswerDecoder;

    fn encoder(&mut self) -> SharedEncoder {
        SharedEncoder
    }

    fn decoder(&mut self) -> AnswerDecoder {
        AnswerDecoder(self.clone())
    }
}

/// Encodes a message that others may hold, too.
struct SharedEncoder;

impl Encoder for SharedEncoder {
    type Item = Arc<DynamicMessage>;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::Message::encode(&*item, buffer)
            .map_err(|e| motet_runtime::status::internal(e.to_string()).build())
    }
}

impl Decoder for AnswerDecoder {
    type Item = SizedMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<SizedMessage>, Status> {
        let message = buffer.copy_to_bytes(buffer.remaining());
        let AnswerCodec { response, shapes } = &self.0;
        let bytes = message.len();
        shapes.scan(&message).map_err(|error| {
            let name = response.full_name();
            let error = status::internal(format!("the answer is no {name}: {error}"));
            Status::from(error.reason(Reason::BadAnswer))
        })?;
        let decoded = compute_here(converting(bytes), || {
            DynamicMessage::decode(response.clone(), message)
        });
        match decoded {
            Ok(message) => Ok(Some(SizedMessage { message, bytes })),
            Err(error) => Err(undecodable(&error)),
        }
    }
}
