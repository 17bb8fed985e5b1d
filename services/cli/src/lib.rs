//! The `motet` program as a library: argument parsing and the wiring of its processes.
//!
//! * [`args`]: the command line.
//! * [`load`]: a configuration read and checked against its models.
//! * [`process`]: a gateway, model services, or both, started and drained.
//! * [`commands`]: what each sub-command does.

pub mod args;
pub mod call;
pub mod commands;
pub mod known;
pub mod load;
pub mod lock;
mod output;
mod places;
pub mod process;
mod waiting;

#[cfg(test)]
mod deploy;
