//! The model service over its in-process service and over a port, with the built-in weights.

mod bad_input;
mod configuration;
mod describe;
mod harness;
mod infer;
mod port;
mod statistics;
mod stream;
