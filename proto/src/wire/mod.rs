//! Protobuf messages before they are decoded: how much memory and work that takes.
//!
//! A field of two bytes can become a struct of hundreds, and a message can have millions of fields.
//! [`scan`] reads the keys and lengths of a message, one pass without an allocation, and refuses
//! one whose values take far more memory than its bytes. Raw tensors cost it nothing: what has a
//! length and no fields is skipped.
//!
//! * `shapes`: [`Shapes`], what the fields of messages take in memory, from their descriptors.
//! * `scan`: [`scan`] and its limits.
//! * `codec`: [`BoundedCodec`], the codec of all generated services and clients, which scans.

mod codec;
mod scan;
mod shapes;

pub use codec::{BoundedCodec, BoundedDecoder, REFUSED};
pub use scan::{
    DECODED_BYTES_SPARE, EXPANSION_MAX, ExpansionError, FIELDS_MAX, MESSAGES_MAX, Scanned,
    UNKNOWN_FIELDS_MAX, decoded_bytes_max, scan,
};
pub use shapes::{Memory, MessageId, Shapes};

#[cfg(test)]
mod tests;
