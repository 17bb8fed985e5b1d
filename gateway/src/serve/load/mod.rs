//! Loading pipelines while the gateway serves.
//!
//! * [`catalog`]: what a pipeline that is loaded may call.
//! * [`dependents`]: pipelines that call one which is replaced.
//! * [`reflection`]: services that endpoints describe when they are asked.

pub(super) mod catalog;
pub(super) mod dependents;

mod reflection;

pub use reflection::ReflectedServices;
