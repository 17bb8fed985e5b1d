//! motet from the outside: its ports, its command line and its signals. Each module is a topic.

mod access;
mod adapters;
mod attacks;
mod bad_input;
mod batch;
mod bge_m3;
mod call_stream;
mod classifiers;
mod clients;
mod compression;
mod configuration;
mod container;
mod deadlines;
mod dependencies;
mod device_check;
mod draining;
mod examples;
mod families;
mod file_kinds;
mod grpc_nodes;
mod health;
mod http_port;
mod images;
mod inference;
#[cfg(feature = "kafka")]
mod licences;
mod limits;
mod model_life;
mod model_memory;
mod ops;
mod overload;
mod pipelines;
mod policies;
mod priorities;
mod processes;
mod published;
mod rag;
mod recipes;
mod recovery;
mod reflection;
mod remote_control;
mod statuses;
mod stream;
mod terminal;
mod tls;
mod token_vectors;
mod traces;
mod upstream_errors;
mod versions;
mod watch;
mod zero_shot;

use motet_tests::program::Program;
use std::ffi::OsStr;

/// Returns the program under test with these arguments.
fn motet<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Program {
    Program::new(env!("CARGO_BIN_EXE_motet-e2e")).args(args)
}
