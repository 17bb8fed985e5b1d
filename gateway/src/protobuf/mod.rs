//! Protobuf messages whose type is known at run time, and tensors in them.
//!
//! * [`descriptors`]: descriptors of services, from a file and as JSON.
//! * [`codec`](BytesCodec): tonic's codecs over bytes and dynamic messages.
//! * [`fields`](FieldPath): the field that a path such as `options.lang` names, as a tensor.
//! * `elements`: elements of tensors as protobuf values, and back.
//! * [`write()`]: a message made of tensors.
//! * [`read()`]: tensors taken out of messages.

pub mod descriptors;

pub(crate) mod elements;

mod codec;
mod fields;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use codec::{BytesCodec, DynamicCodec, DynamicEncoder, decode};
pub use fields::{FieldPath, PathError};
pub use read::read;
pub use write::{WriteError, write};
