//! Wire formats of motet: the Open Inference Protocol, motet's own services, and tensors.
//!
//! * [`inference`] and [`v1`]: code generated from the files in `proto/`.
//! * [`types`]: element types, dimensions and tensor types.
//! * [`tensor`]: tensors over the bytes of a message, with checked views.
//! * [`signature`]: inputs, outputs and parameters of a model or pipeline.
//! * [`oip`]: tensors from and to messages of the Open Inference Protocol.
//! * [`files`]: the .proto files as text.
//! * [`limits`]: limits that the gateway and the model service share.

pub mod files;
pub mod limits;
pub mod oip;
pub mod signature;
pub mod tensor;
pub mod types;

// For `dispatch!`.
#[doc(hidden)]
pub use half;

pub use tensor::{Element, Tensor, TensorError};
pub use types::{Dim, ElementType, TensorType};

/// Messages and services of the Open Inference Protocol v2 with Triton's additions.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod inference {
    tonic::include_proto!("inference");
}

/// motet's own messages and services.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("motet.v1");
}

/// The encoded `FileDescriptorSet` of these files and their imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
