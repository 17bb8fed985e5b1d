//! Ops: small pure steps that run inside the gateway.
//!
//! * [`op`]: the interface that every op implements, and the call that it receives.
//! * [`registry`]: the list of all ops. One file of `registry/` and one line of the list is an op.
//! * [`ports`]: arguments, ports and parameters, for the check of a pipeline.
//! * [`docs`]: the documentation that is generated from the registry.
//! * [`error`]: errors, with the arguments that cause them.
//! * `work`: costs of elementary steps, for the estimates of ops.
//! * `convert`: conversion to another element type.
//! * `extreme`: minimum and maximum.
//! * `row_condition`: conditions over the columns of a list.
//! * `rows_of`: values that belong to the rows of a list.
//! * `scoring` (ranked lists) and `vectors` (dot products, similarities) are shared by ops.
//! * [`combine`]: combination of the results of several arms of an `ensemble`.

pub mod combine;
mod convert;
pub mod docs;
pub mod error;
mod extreme;
pub mod op;
pub mod ports;
pub mod registry;
mod row_condition;
mod rows_of;
mod scoring;
#[cfg(test)]
mod testing;
mod vectors;
mod work;

pub use error::{ArgumentId, OUTPUT_BYTES_MAX, OpError, OpErrorKind};
pub use op::{BoundOp, Op, OpCall, Outputs, WORK_MAX};
pub use registry::{OPS, find};
