//! What the end-to-end tests stand on.
//!
//! * [`connection`]: a client's connection that adds nothing of its own, and typed clients over it.
//! * [`reflected`]: a client that learns a service's messages by reflection.
//! * [`in_process`]: motet inside the test process, one for all tests that can share it.
//! * [`program`]: motet as a program of its own, to be signalled, killed and configured.
//! * [`proxy`]: what stands between a gateway and its services, and decides how long they take.
//! * [`other_server`]: a gRPC server that is not motet.
//! * [`http`]: the HTTP port, and metrics read from it.
//! * [`collector`]: an OTLP receiver, and traces put together again.
//! * [`packages`]: the packages that the workspace is built from.
//! * [`temp_dir`]: folders that go away, [`wait`]: conditions that come true.
//!
//! Everything here fails by a panic that says what was expected: it serves tests alone.

pub mod collector;
pub mod connection;
pub mod http;
pub mod in_process;
pub mod load;
pub mod other_server;
pub mod packages;
pub mod program;
pub mod proxy;
pub mod reflected;
pub mod temp_dir;
pub mod tensors;
pub mod wait;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is in the repository").into()
}
