//! The `motet` program as a library: the command line and the wiring of its processes.
//!
//! * [`args`]: the command line.
//! * [`commands`]: one module for each sub-command, and the exit codes.
//! * [`configuration`]: a configuration, read and checked.
//! * [`signatures`]: what its models and services take and give; [`lock`]: the same in a file.
//! * [`placement`]: which models run in this process, and where the others are.
//! * [`process`]: a gateway, model services, or both, from startup to drain; `remote_startup`:
//!   waiting for servers in other processes.
//! * [`call`]: a client of pipelines.
//! * `output`: standard output.

pub mod args;
pub mod call;
pub mod commands;
pub mod configuration;
pub mod lock;
mod output;
pub mod placement;
pub mod process;
mod remote_startup;
pub mod signatures;
