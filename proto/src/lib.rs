//! Wire formats of motet: the Open Inference Protocol, motet's own services, and tensors.
//!
//! * [`inference`] and [`v1`]: code generated from the files in `proto/`.
//! * [`types`]: element types, dimensions and tensor types.
//! * [`tensor`]: tensors over the bytes of a message, with checked views.
//! * [`signature`]: inputs, outputs and parameters of a model or pipeline.
//! * [`oip`]: tensors from and to messages of the Open Inference Protocol.
//! * [`files`]: the .proto files as text.
//! * [`wire`]: what messages take once they are decoded, and the codec that bounds it.
//! * [`limits`]: limits that the gateway and the model service share.
//!
//! Tensors in a request, and out of it again:
//!
//! ```
//! use motet_proto::Tensor;
//! use motet_proto::inference::ModelInferRequest;
//! use motet_proto::oip::{put_inputs, take_inputs};
//!
//! let score = Tensor::from_values(vec![2], vec![0.75f32, 0.25])?;
//! let mut request = ModelInferRequest { model_name: "best".to_owned(), ..Default::default() };
//! put_inputs(&mut request, [("score", &score)]);
//! assert_eq!(request.inputs[0].shape, [2]);
//!
//! let (inputs, _encoding) = take_inputs(&mut request)?;
//! assert_eq!(inputs, [("score".to_owned(), score)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod files;
pub mod limits;
pub mod oip;
pub mod signature;
pub mod tensor;
pub mod types;
pub mod wire;

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
