//! Rows of files, and messages of brokers, as calls of a pipeline.
//!
//! * `calls`: [`RowCalls`]; `messages`: rows as messages of the pipeline, and its answers as JSON.

mod calls;
mod messages;

pub(crate) use calls::RowCalls;
pub(crate) use messages::{answer, inputs, receipt};
