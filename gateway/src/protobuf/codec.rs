//! tonic's codec over messages whose type is known at run time.

use bytes::{Buf, Bytes};
use motet_runtime::status;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Decodes messages of one type, and encodes messages of any.
#[derive(Debug, Clone)]
pub struct DynamicCodec(MessageDescriptor);

impl DynamicCodec {
    /// A codec that decodes messages of type `decoded`.
    pub const fn new(decoded: MessageDescriptor) -> Self {
        Self(decoded)
    }
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        DynamicDecoder(self.0.clone())
    }
}

/// See [`DynamicCodec`].
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

/// See [`DynamicCodec`].
#[derive(Debug)]
pub struct DynamicDecoder(MessageDescriptor);

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        DynamicMessage::decode(self.0.clone(), bytes.clone())
            .map(Some)
            .map_err(|error| malformed(&self.0, bytes, &error))
    }
}

/// INVALID_ARGUMENT that names the field.
fn malformed(message: &MessageDescriptor, bytes: Bytes, error: &DecodeError) -> Status {
    let text = error.to_string();
    let named = faulty_field(message, bytes).and_then(|field| {
        let (prefix, what) = text.split_once(": ")?;
        Some(format!("{prefix}: {}.{field}: {what}", message.name()))
    });
    status::malformed_message(&named.unwrap_or(text)).into()
}

/// The first field that cannot be decoded. prost-reflect does not say which it was, so each is
/// tried alone.
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
