//! Pipelines: parse, check, plan, execute and serve graphs of model calls.

pub mod backend;
pub mod budget;
pub mod check;
pub mod demand;
pub mod exec;
pub mod grpc;
pub mod ops;
pub mod plan;
pub mod policy;
pub mod sequels;
pub mod serve;
pub mod shadows;
pub mod spec;
mod transport;
pub mod upstream;

#[cfg(test)]
mod testing;
