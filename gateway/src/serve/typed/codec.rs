//! tonic's codec over messages whose type is known at run time.

use prost::Message;
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
            .map_err(|e| Status::internal(e.to_string()))
    }
}

/// See [`DynamicCodec`].
#[derive(Debug)]
pub struct DynamicDecoder(MessageDescriptor);

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        // The same code and text as tonic's own codec, which the error layer turns into
        // INVALID_ARGUMENT naming the field.
        DynamicMessage::decode(self.0.clone(), buffer)
            .map(Some)
            .map_err(|e| Status::internal(e.to_string()))
    }
}
