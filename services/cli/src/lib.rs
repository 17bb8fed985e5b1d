//! The `motet` program as a library: the command line and the wiring of its processes.
//!
//! * [`args`]: the command line.
//! * [`commands`]: one module for each sub-command, and the exit codes.
//! * [`config`]: a configuration file, each key read by the crate that it configures.
//! * [`configuration`]: a configuration, read and checked; [`called`]: callees of its pipelines.
//! * [`signatures`]: inputs and outputs of its models and services; [`lock`]: the same in a file.
//! * [`placement`]: which models run in this process, and where the others are.
//! * [`process`]: a gateway, model services, or both, from startup to drain; `remote_startup`:
//!   waiting for servers in other processes.
//! * [`address`], `client`: connections to a running gateway.
//! * [`call`]: calls of pipelines; [`pipeline_texts`]: pipelines to load.
//! * `output`, `table`: standard output.

pub mod address;
pub mod args;
pub mod call;
pub mod called;
mod client;
pub mod commands;
pub mod config;
pub mod configuration;
pub mod lock;
mod output;
pub mod pipeline_texts;
pub mod placement;
pub mod process;
mod remote_startup;
pub mod signatures;
mod table;
