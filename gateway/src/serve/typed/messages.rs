//! Decoding of requests and encoding of responses of a typed service.

use bytes::Bytes;
use motet_proto::tensor::Tensor;
use motet_proto::v1;
use motet_runtime::status;
use motet_runtime::usage::Usage;
use prost::encoding::{message as message_field, string as string_field};
use tonic::Status;

use super::names::{ERROR, RECEIPT, REQUEST_ID};
use super::{decode, encode};
use crate::compute::Cancel;
use crate::exec;
use crate::serve::pipeline::{Answer, ServedPipeline};
use crate::serve::receipt;

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
pub(super) fn read(
    served: &ServedPipeline,
    message: Bytes,
    cancel: &Cancel,
) -> Result<Request, Status> {
    let pipeline = served.pipeline();
    let decoded = decode::decode(pipeline, message, cancel)?;
    let refused = |violations: Vec<_>| exec::violation_status(&pipeline.name, &violations);
    Ok(Request {
        id: decoded.id,
        inputs: decoded.inputs.map_err(refused),
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
    receipt: Option<v1::Receipt>,
    usage: Option<&Usage>,
) -> Result<Bytes, Status> {
    let pipeline = served.pipeline();
    let mut message = Vec::new();
    encode::put_outputs(pipeline, answer.outputs(), &mut message)
        .map_err(|e| Status::from(status::internal(e.to_string()).pipeline(&pipeline.name)))?;
    if let Some(mut receipt) = receipt {
        receipt.usage = usage.map(|usage| receipt::usage(usage, message.len()));
        message_field::encode(RECEIPT.1, &receipt, &mut message);
    }
    put_id(&mut message, id);
    Ok(message.into())
}

/// Encodes the response to a request of a stream that failed.
pub(super) fn failure(id: Option<String>, error: &Status) -> Bytes {
    let mut message = Vec::new();
    put_id(&mut message, id);
    message_field::encode(ERROR.1, &status::to_message(error), &mut message);
    message.into()
}

/// Returns the id of a request that is otherwise not decoded, or `None`.
pub(super) fn request_id_of(message: Bytes) -> Option<String> {
    decode::request_id(message)
}

fn put_id(message: &mut Vec<u8>, id: Option<String>) {
    if let Some(id) = id {
        string_field::encode(REQUEST_ID.1, &id, message);
    }
}
