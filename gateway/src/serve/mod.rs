//! The surfaces of the gateway, and loading of pipelines.
//!
//! * [`gateway`](Gateway): serves pipelines, and loads and unloads them.
//! * [`registry`](Registry): the loaded pipelines, and the models.
//! * [`pipeline`](ServedPipeline): a request to a pipeline and its answer, below all surfaces.
//! * [`typed`]: every pipeline as a gRPC service of its own.
//! * `oip`: every pipeline as a model of the Open Inference Protocol.
//! * `pipelines`: the service `motet.v1.Pipelines`.
//! * `models`: changes of the models that pipelines call.
//! * `update`: changes of several models and pipelines at once.
//! * `load`: what a pipeline may call, and the pipelines that call it.
//! * `account`: what a request uses and holds.
//! * `readiness`: which models and pipelines can answer; `remote_models`: models in other
//!   processes, as they were last seen.
//! * `output_selection`, `receipt`, [`signature`](signature()), `stats`: parts of the surfaces.

pub mod typed;

mod account;
mod gateway;
mod load;
mod models;
mod oip;
mod output_selection;
mod pipeline;
mod pipelines;
mod readiness;
mod receipt;
mod registry;
mod remote_models;
mod signature;
mod stats;
mod update;

pub use gateway::{Gateway, GatewayError, GatewayParts, WeakGateway};
pub use load::ReflectedServices;
pub use models::ModelChange;
pub use pipeline::ServedPipeline;
pub use pipelines::dot;
pub use registry::Registry;
pub use signature::signature;
pub use update::Update;
