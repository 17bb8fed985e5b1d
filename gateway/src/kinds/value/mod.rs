//! Nodes with values that are written out or come from elsewhere.

pub mod check;
pub mod exec;
pub mod plan;
pub mod schema;
pub mod syntax;
