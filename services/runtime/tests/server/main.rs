//! Real servers on free loopback ports, called by real gRPC clients.

mod bytes;
mod compression;
mod deadlines;
mod flow;
mod guards;
mod harness;
mod health;
mod http;
#[cfg(feature = "tls")]
mod issuer;
mod limits;
mod reflection;
mod serve;
mod streams;
mod telemetry;
mod test_service;
