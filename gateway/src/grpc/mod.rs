//! Methods of gRPC servers outside as nodes: what is known of their messages, fields as tensors,
//! and calls.
//!
//! `reflect` and `descriptors` learn what a service takes and gives, `schemas` keeps it for the check;
//! `fields` finds the field that a path such as `options.lang` names and what it is as a tensor;
//! `write` makes a request of arguments, `read` takes outputs out of answers; `remote` and
//! `method` make the call.

pub mod descriptors;
pub mod reflect;

pub(crate) mod elements;
mod fields;
mod method;
mod read;
mod remote;
mod schemas;
mod write;

#[cfg(test)]
mod tests;

pub use fields::{FieldPath, PathError};
pub use method::Method;
pub use read::read;
pub use remote::{Endpoints, Remote};
pub use schemas::{NoService, Schemas, needs};
pub use write::{WriteError, write};
