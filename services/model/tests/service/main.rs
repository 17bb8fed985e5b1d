//! The model service, in process and over a port, with the built-in weights.

mod bad_input;
mod configuration;
mod describe;
mod engine;
mod harness;
mod infer;
mod loading;
mod own_tasks;
mod port;
mod settings;
mod shared_layers;
mod statistics;
mod stream;
mod too_little_time;
