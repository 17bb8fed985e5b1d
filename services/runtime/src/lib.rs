//! What every motet server process needs, whatever it serves: configuration reading, deadlines, gRPC errors with
//! details, limits, serving with graceful shutdown, health, reflection, the HTTP port, metrics, traces and logs.
//!
//! This crate knows no pipelines and no models; it is handed names (of pipelines, nodes, models) by those that do.
//!
//! The way of a request through it: [`serve`] accepts the connection, [`layers`] stacks trace, in-flight count,
//! admission, deadline and error mapping over the [`routes`], and what is behind the routes finds its [`deadline`] in
//! the request's extensions and answers errors made by [`status`].

pub mod config;
pub mod deadline;
pub mod health;
pub mod http;
pub mod layers;
pub mod limits;
pub mod metrics;
mod panics;
pub mod reflection;
pub mod request_stream;
pub mod routes;
pub mod serve;
pub mod shutdown;
pub mod status;
pub mod telemetry;
