//! Nodes that run the first arm that does not fail.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
