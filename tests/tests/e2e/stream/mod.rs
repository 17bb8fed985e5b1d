//! Streams against real brokers, which are killed, cut off and filled with poison: a ledger says
//! that nothing is lost and nothing doubled.

mod access;
mod configuration;
#[cfg(feature = "kafka")]
mod kafka;
mod ledger;
mod nats;
mod nats_faults;
mod redis;

use std::path::PathBuf;

use motet_tests::program::{Process, Program};
use motet_tests::temp_dir::TempDir;

use crate::motet;

/// A pipeline without models, which answers `{ text: "m7" }` with `{ loud: "m7!" }`.
const SHOUT: &str = "\
pipelines:
  - pipeline: shout
    inputs: { text: string }
    nodes: { loud: { op: template, in: { text: $text }, with: { text: \"{text}!\" } } }
    outputs: { loud: $loud.out }
";

/// A file with streams of the pipeline `shout`.
struct Configured {
    _folder: TempDir,
    file: PathBuf,
}

impl Configured {
    fn new(streams: &str) -> Self {
        let folder = TempDir::new();
        let file = folder.file("streams.yaml", format!("{SHOUT}streams:\n{streams}"));
        Self {
            _folder: folder,
            file,
        }
    }

    /// Returns `motet stream`.
    fn program(&self) -> Program {
        let file = self.file.to_str().expect("a path of ASCII");
        motet([
            "stream",
            "-f",
            file,
            "--http",
            "127.0.0.1:0",
            "--grace",
            "30s",
        ])
    }

    /// Starts it.
    fn start(&self) -> Process {
        self.program().start()
    }
}
