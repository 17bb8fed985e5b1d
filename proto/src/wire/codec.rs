//! The codec of generated services and clients.

use std::marker::PhantomData;
use std::sync::LazyLock;

use bytes::Buf;
use prost::{Message, Name};
use prost_types::FileDescriptorSet;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use super::{ExpansionError, Memory, MessageId, Shapes, decoded_bytes_max, scan};
use crate::FILE_DESCRIPTOR_SET;

/// Values of a message that are decoded on the thread of its connection, in about a quarter of a
/// millisecond. For more, the tasks of the thread go to another one meanwhile.
const INLINE_VALUES_MAX: usize = 1 << 14;

/// Shapes of the messages of this crate.
static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    // A constant that the build made; a test decodes it.
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    Shapes::new(&files.file, Memory::Structs)
});

/// Codec of generated messages that scans each message before it decodes it.
#[derive(Debug, Clone)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> BoundedDecoder<U> {
        BoundedDecoder::default()
    }
}

/// Decoder of one generated message type.
#[derive(Debug, Clone)]
pub struct BoundedDecoder<U> {
    root: Option<MessageId>,
    decoded: PhantomData<U>,
}

impl<U: Name> Default for BoundedDecoder<U> {
    fn default() -> Self {
        Self {
            root: SHAPES.find(&U::full_name()),
            decoded: PhantomData,
        }
    }
}

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // tonic collects a message before it decodes it: this takes it without a copy.
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let values = match self.root {
            Some(root) => {
                let limit = decoded_bytes_max(bytes.len());
                scan(&SHAPES, root, &bytes, limit).map_err(refused)?.values
            }
            None => 0,
        };
        let decode = || U::decode(bytes).map_err(|error| Status::internal(error.to_string()));
        // A runtime of one thread has no other to go on with.
        let handle = tokio::runtime::Handle::try_current();
        let many = handle.is_ok_and(|handle| {
            handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread
        });
        if many && values > INLINE_VALUES_MAX {
            tokio::task::block_in_place(decode).map(Some)
        } else {
            decode().map(Some)
        }
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// Begin of the message of an error of [`BoundedDecoder`], by which a server knows it.
pub const REFUSED: &str = "the message is not decoded: ";

fn refused(error: ExpansionError) -> Status {
    Status::resource_exhausted(format!("{REFUSED}{error}"))
}
