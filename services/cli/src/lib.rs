#![doc = include_str!("../README.md")]
//!
//! # Versions
//!
//! Semantic versioning holds for what is documented here, for the command line, for configuration
//! and pipeline files and for the gRPC services; other public items exist for the workspace's own
//! tests.

// For those who change the crate, from the command line inwards:
//
// * `app`: the program; `exit`: its exit codes.
// * `args`: the command line; `commands`: one module for each sub-command.
// * `config`: a configuration file, each key read by the crate that it configures.
// * `configuration`: a configuration, read and checked; `called`: callees of its pipelines.
// * `signatures`: inputs and outputs of its models and services; `lock`: the same in a file.
// * `fetch`: files of models, fetched from a hub, and the progress of it.
// * `placement`: which models run in this process, and where the others are.
// * `process`: a gateway, model services, or both, from startup to drain; `remote_startup`: waiting
//   for servers in other processes.
// * `server`: the same inside a program of one's own.
// * `client`: a client of pipelines and models; `address`, `connection`, `api_key`: connections of
//   commands. `reachable`: what is reachable at which address of a server.
// * `streams`: streams of brokers.
// * `call`: calls of pipelines; `file_texts`: models and pipelines to load.
// * `output`, `table`: standard output.
//
// Modules without documentation are public for the tests of the workspace alone.

mod address;
mod api_key;
mod app;
#[doc(hidden)]
pub mod args;
mod call;
mod called;
mod client;
mod commands;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod configuration;
mod connection;
mod exit;
mod fetch;
mod file_texts;
mod lock;
mod output;
mod placement;
#[doc(hidden)]
pub mod process;
mod reachable;
mod remote_startup;
mod rows;
mod server;
mod signatures;
mod streams;
mod table;

pub use app::App;
pub use client::{Answer, Client, ClientError, PipelineClient};
pub use exit::Exit;
pub use motet_proto::Tensor;
pub use motet_service::{Tasks, task};
pub use server::{LocalChannel, Server, ServerError, Starter};

/// The page on models of one's own compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/own_model.md")]
mod own_model {}
