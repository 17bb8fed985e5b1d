//! Nodes that run one arm by weight, and shadows beside it.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
