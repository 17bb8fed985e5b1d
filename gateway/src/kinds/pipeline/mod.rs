//! Nodes that call another pipeline.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
