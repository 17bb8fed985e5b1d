//! Nodes that run an op inside the gateway.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
