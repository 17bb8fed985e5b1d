//! The wire of motet: the Open Inference Protocol, motet's own services, and the tensors that
//! both carry.
//!
//! * [`inference`] and [`v1`]: generated from the files in `proto/`.
//! * [`types`]: element types, dimensions, tensor types and their text form.
//! * [`tensor`]: a tensor over the wire's own bytes, with checked views.
//! * [`signature`]: what a model takes and gives.
//! * [`files`]: the .proto files as text.
//! * [`oip`]: tensors in and out of Open Inference Protocol messages.

pub mod files;
pub mod oip;
pub mod signature;
pub mod tensor;
pub mod types;

pub use tensor::{Tensor, TensorError};
pub use types::{Dim, ElementType, TensorType};

/// The Open Inference Protocol v2 with Triton's additions.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod inference {
    tonic::include_proto!("inference");
}

/// motet's own services and messages.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("motet.v1");
}

/// The encoded `FileDescriptorSet` of every .proto file here, imports included: for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
