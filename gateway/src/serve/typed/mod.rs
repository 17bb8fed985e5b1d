//! Typed surface: every pipeline as a gRPC service of its own, with messages made from its inputs
//! and outputs.
//!
//! * `names`: names and numbers that all pipelines share.
//! * `descriptor`: the messages of a pipeline, as a protobuf descriptor.
//! * `proto_file`: the same descriptor as the text of a .proto file.
//! * `decode`, `encode`: tensors of the bytes of a message, and back; `messages`: whole messages.
//! * `service`: routing of requests to pipelines by path.

mod decode;
mod descriptor;
mod encode;
mod messages;
mod names;
mod proto_file;
mod service;
#[cfg(test)]
mod tests;

pub use descriptor::{DescriptorError, TypedApi, file_name};
pub use names::{PACKAGE, service_name};
pub use proto_file::proto_file;
pub(super) use service::TypedPipelines;
