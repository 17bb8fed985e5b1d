//! Nodes that call a model of the configuration.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
