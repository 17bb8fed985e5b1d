//! The gateway's gRPC surfaces: every pipeline as a service of its own, as a model of the Open
//! Inference Protocol, and in `motet.v1.Pipelines`.

pub mod typed;

mod gateway;
mod load;
mod oip;
mod output_selection;
mod pipeline;
mod pipelines;
mod receipt;
mod registry;
mod signature;
mod stats;

pub use gateway::{Gateway, GatewayError, GatewayParts};
pub use load::ReflectedServices;
pub use pipeline::ServedPipeline;
pub use pipelines::dot;
pub use registry::Registry;
pub use signature::signature;
