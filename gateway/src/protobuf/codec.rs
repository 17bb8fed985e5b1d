//! Codecs of tonic over bytes, and over messages whose type is known at run time.

use bytes::{Buf, BufMut, Bytes};
use motet_runtime::status;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Codec of encoded messages. The handler decodes and encodes them, so that large ones do not block
/// the task of the connection.
#[derive(Debug, Clone, Copy)]
pub struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Codec that encodes messages of any type and decodes messages of one, for clients and test
/// servers.
#[derive(Debug, Clone)]
pub struct DynamicCodec(MessageDescriptor);

impl DynamicCodec {
    /// Returns a codec that decodes messages of type `decoded`.
    pub const fn new(decoded: MessageDescriptor) -> Self {
        Self(decoded)
    }
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = Self;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        decode(&self.0, buffer.copy_to_bytes(buffer.remaining())).map(Some)
    }
}

/// Decodes a message.
///
/// # Errors
/// INVALID_ARGUMENT that names the field which cannot be decoded.
pub fn decode(message: &MessageDescriptor, bytes: Bytes) -> Result<DynamicMessage, Status> {
    DynamicMessage::decode(message.clone(), bytes.clone())
        .map_err(|error| malformed(message, bytes, &error))
}

/// Encoder of messages of any type.
#[derive(Debug)]
pub struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(
        &mut self,
        message: DynamicMessage,
        buffer: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        message
            .encode(buffer)
            .map_err(|e| status::internal(e.to_string()).into())
    }
}

/// Returns the status for bytes that cannot be decoded, with the name of the field.
fn malformed(message: &MessageDescriptor, bytes: Bytes, error: &DecodeError) -> Status {
    let text = error.to_string();
    let named = faulty_field(message, bytes).and_then(|field| {
        let (prefix, what) = text.split_once(": ")?;
        Some(format!("{prefix}: {}.{field}: {what}", message.name()))
    });
    status::malformed_message(&named.unwrap_or(text)).into()
}

/// Returns the first field that cannot be decoded. The error of prost-reflect does not name it, so
/// each field is decoded alone.
fn faulty_field(message: &MessageDescriptor, bytes: Bytes) -> Option<String> {
    let mut rest = bytes;
    while rest.has_remaining() {
        let start = rest.clone();
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        let skipped = skip_field(wire_type, number, &mut rest, DecodeContext::default());
        let alone = start.slice(..start.len() - rest.len());
        if skipped.is_err() || DynamicMessage::decode(message.clone(), alone).is_err() {
            return message.get_field(number).map(|f| f.name().to_owned());
        }
    }
    None
}
