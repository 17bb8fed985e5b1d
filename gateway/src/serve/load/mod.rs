//! Loading pipelines while the gateway serves.
//!
//! * [`catalog`]: models, endpoints and pipelines that a pipeline may call.
//! * [`dependents`]: pipelines that call one which is replaced or unloaded.
//! * [`reflection`]: descriptions of services, from the servers themselves.

pub(super) mod catalog;
pub(super) mod dependents;

mod reflection;

pub use reflection::ReflectedServices;
