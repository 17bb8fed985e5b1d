//! Protobuf messages whose type is known at run time, and tensors in them.
//!
//! * [`descriptors`]: descriptors of services, from a file and as JSON.
//! * [`codec`](BytesCodec): codecs of tonic over bytes and over dynamic messages.
//! * [`fields`](FieldPath): paths of fields such as `options.lang`, and their tensor types.
//! * `elements`: conversion of elements of tensors to protobuf values, and back.
//! * [`shapes`](DynamicShapes): what messages take in memory.
//! * [`write()`]: makes a message of tensors.
//! * [`read()`]: takes tensors out of messages.

pub mod descriptors;

pub(crate) mod elements;

mod codec;
mod fields;
mod read;
mod shapes;
mod write;

#[cfg(test)]
mod tests;

pub use codec::{BytesCodec, DynamicCodec, decode};
pub use fields::{FieldPath, PathError};
pub use read::read;
pub use shapes::DynamicShapes;
pub use write::{WriteError, write};
