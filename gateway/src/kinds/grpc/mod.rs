//! Nodes that call a method of a gRPC server.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
