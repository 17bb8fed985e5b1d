//! Nodes that run a body for each element of a list.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
