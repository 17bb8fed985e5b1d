//! The harness of the end-to-end tests and examples.
//!
//! Servers:
//! * [`in_process`]: motet inside the test process, and one that tests share.
//! * [`program`]: motet as a program, to be configured, signalled and killed.
//! * [`other_server`]: a gRPC server that is not motet.
//! * [`proxy`]: a proxy that delays or fails calls between a gateway and its services.
//! * [`tcp_proxy`]: a proxy of connections, which it can delay, reset or damage.
//! * [`brokers`]: message brokers, real ones.
//! * [`object_store`]: an object store, which can be away, slow or broken.
//! * [`postgres`]: a database, a real one.
//! * [`collector`]: a receiver of traces by OTLP.
//!
//! Clients:
//! * [`certificates`]: certificates, and connections that trust them.
//! * [`connection`]: an HTTP/2 connection that adds nothing of its own, and typed clients over it.
//! * [`reflected`]: a client that gets a service's messages by reflection.
//! * [`tensors`]: requests and responses of the Open Inference Protocol.
//! * [`http`]: the HTTP port and its metrics.
//! * [`load`]: callers in a closed loop, for benchmarks.
//! * [`attack`]: clients that misbehave, with one beside them that must not notice.
//!
//! Helpers:
//! * [`packages`]: the packages that the workspace is built from.
//! * [`public_api`]: the public interface of a crate as text.
//! * [`temp_dir`]: folders that are removed after the test.
//! * [`wait`]: conditions that are awaited up to a time limit.
//!
//! Functions panic where a test would fail, with a message that says what was expected.

pub mod attack;
pub mod brokers;
pub mod certificates;
pub mod collector;
pub mod connection;
pub mod http;
pub mod in_process;
pub mod load;
pub mod object_store;
pub mod other_server;
pub mod packages;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod public_api;
pub mod reflected;
pub mod tcp_proxy;
pub mod temp_dir;
pub mod tensors;
pub mod wait;

use std::path::{Path, PathBuf};

/// Returns the root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in the repository").into()
}
