//! Nodes that run all arms at once and combine their results.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
