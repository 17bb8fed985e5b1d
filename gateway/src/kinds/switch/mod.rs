//! Nodes that run the first arm whose condition holds.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
