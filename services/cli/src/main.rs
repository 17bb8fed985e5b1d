//! Parses, builds, runs.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    motet::commands::run(motet::args::Cli::parse())
}
