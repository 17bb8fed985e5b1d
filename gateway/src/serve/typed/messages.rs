//! Decoding of requests and encoding of responses of a typed service.

use bytes::Bytes;
use motet_proto::tensor::Tensor;
use motet_proto::v1;
use motet_runtime::status;
use prost::Message;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};
use tonic::Status;

use super::convert;
use super::names::{ERROR, RECEIPT, REQUEST_ID};
use crate::exec;
use crate::protobuf::decode;
use crate::serve::pipeline::{Answer, ServedPipeline};

/// A decoded request.
pub(super) struct Request {
    /// Id that matches a response to its request.
    pub(super) id: Option<String>,
    /// A tensor for each input, `None` if it is left out; or the status for invalid fields.
    pub(super) inputs: Result<Vec<Option<Tensor>>, Status>,
}

/// Decodes a request.
///
/// # Errors
/// INVALID_ARGUMENT that names the field which cannot be decoded.
pub(super) fn read(served: &ServedPipeline, message: Bytes) -> Result<Request, Status> {
    let message = decode(&served.api.request, message)?;
    let pipeline = served.pipeline();
    Ok(Request {
        id: request_id(&message),
        inputs: convert::take_inputs(pipeline, message)
            .map_err(|violations| exec::violation_status(&pipeline.name, &violations)),
    })
}

/// Encodes an answer.
///
/// # Errors
/// INTERNAL if a tensor is not of the type of its output.
pub(super) fn write(
    served: &ServedPipeline,
    answer: &Answer,
    id: Option<String>,
    receipt: Option<&v1::Receipt>,
) -> Result<Bytes, Status> {
    let pipeline = served.pipeline();
    let mut message = convert::put_outputs(pipeline, &served.api.response, answer.outputs())
        .map_err(|e| Status::from(status::internal(e.to_string()).pipeline(&pipeline.name)))?;
    put_id(&mut message, id);
    if let Some(receipt) = receipt {
        put_message(&mut message, RECEIPT.1, receipt);
    }
    Ok(message.encode_to_vec().into())
}

/// Encodes the response to a request of a stream that failed.
pub(super) fn failure(response: &MessageDescriptor, id: Option<String>, error: &Status) -> Bytes {
    let mut message = DynamicMessage::new(response.clone());
    put_id(&mut message, id);
    put_message(&mut message, ERROR.1, &status::to_message(error));
    message.encode_to_vec().into()
}

/// Returns the id of a request that is otherwise not decoded, or `None`.
pub(super) fn request_id_of(request: &MessageDescriptor, message: Bytes) -> Option<String> {
    request_id(&decode(request, message).ok()?)
}

fn request_id(message: &DynamicMessage) -> Option<String> {
    message
        .get_field_by_number(REQUEST_ID.1)
        .and_then(|v| v.as_str().map(str::to_owned))
        .filter(|id| !id.is_empty())
}

fn put_id(message: &mut DynamicMessage, id: Option<String>) {
    if let Some(id) = id {
        message.set_field_by_number(REQUEST_ID.1, Value::String(id));
    }
}

/// Sets a field, given by number, to a message of generated code.
fn put_message(message: &mut DynamicMessage, number: u32, value: &impl Message) {
    let field: Option<FieldDescriptor> = message.descriptor().get_field(number);
    if let Some(field) = field
        && let Kind::Message(descriptor) = field.kind()
    {
        let mut inner = DynamicMessage::new(descriptor);
        if inner.transcode_from(value).is_ok() {
            message.set_field(&field, Value::Message(inner));
        }
    }
}
