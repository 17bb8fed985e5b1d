//! Every pipeline as a gRPC service of its own, with messages made from its inputs and outputs.

mod convert;
mod descriptor;
mod messages;
mod names;
mod proto_file;
mod service;

pub use descriptor::{DescriptorError, TypedApi, file_name};
pub use names::{PACKAGE, service_name};
pub use proto_file::proto_file;
pub(super) use service::TypedPipelines;
