//! Pipelines: parse, check, plan, execute and serve graphs of model calls.

pub mod check;
pub mod ops;
pub mod spec;
