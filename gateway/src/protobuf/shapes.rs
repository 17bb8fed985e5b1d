//! Memory of messages whose type is known at run time.

use motet_proto::wire::{ExpansionError, Memory, MessageId, Shapes, decoded_bytes_max, scan};
use prost_reflect::{MessageDescriptor, Value};

/// Memory of messages of one type.
#[derive(Debug)]
pub struct DynamicShapes(Option<(Shapes, MessageId)>);

impl DynamicShapes {
    /// Returns the memory of messages of type `message`.
    pub fn new(message: &MessageDescriptor) -> Self {
        let memory = Memory::Values {
            value: size_of::<Value>(),
        };
        let files = message.parent_pool();
        let files = files.file_descriptor_protos();
        Self(Shapes::reachable(files, message.full_name(), memory))
    }

    /// Scans an encoded message before it is decoded.
    ///
    /// # Errors
    /// When its fields are too many, or would take far more memory than its bytes.
    pub fn scan(&self, message: &[u8]) -> Result<(), ExpansionError> {
        // Each number is a value of its own, so that lists of numbers take more than the bytes
        // tell.
        let limit = decoded_bytes_max(message.len().max(VALUES_BYTES_SPARE));
        match &self.0 {
            Some((shapes, root)) => scan(shapes, *root, message, limit).map(drop),
            None => Ok(()),
        }
    }
}

/// Size of a message up to which its values may take the memory that those of a message of this
/// size may.
const VALUES_BYTES_SPARE: usize = 8 << 20;
