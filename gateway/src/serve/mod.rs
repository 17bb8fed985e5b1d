//! The gateway's gRPC surfaces: every pipeline as a service of its own, as a model of the Open
//! Inference Protocol, and in `motet.v1.Pipelines`.

pub mod typed;

mod callers;
mod gateway;
mod learnt;
mod oip;
mod pipelines;
mod reach;
mod receipt;
mod registry;
mod signature;
mod wanted;

pub use gateway::{Gateway, GatewayError, GatewayParts};
pub use learnt::Learnt;
pub use pipelines::dot;
pub use registry::{Registry, Served};
pub use signature::signature;
