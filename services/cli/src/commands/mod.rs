//! What each sub-command does, and what the process exits with.

mod call;
mod check;
mod config;
mod graph;
mod proto;
mod serve;

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::configuration::ConfigurationErrors;
use crate::output;
use crate::process::{Options, Role};

/// Exit code when the configuration has mistakes, as for wrong usage.
const EXIT_CONFIGURATION: u8 = 2;

/// Runs the command. Errors go to standard error; the exit code is 2 for mistakes in a
/// configuration and 1 for anything else.
pub fn run(cli: Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<ConfigurationErrors>() {
            Some(report) => {
                eprint!("{report}");
                ExitCode::from(EXIT_CONFIGURATION)
            }
            None => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    match cli.command.unwrap_or(Command::Up(cli.up)) {
        Command::Up(args) => serve::run(Options {
            role: Role::Up,
            file: args.file.file,
            listen: args.listen,
            endpoints: args.remote.endpoints,
            wait: args.remote.wait.unwrap_or_default(),
        }),
        Command::Gateway(args) => serve::run(Options {
            role: Role::Gateway,
            file: args.file.file,
            listen: args.listen,
            endpoints: args.remote.endpoints,
            wait: args.remote.wait.unwrap_or_default(),
        }),
        Command::Serve(args) => serve::run(Options {
            role: Role::Serve(args.models),
            file: args.file.file,
            listen: args.listen,
            endpoints: Vec::new(),
            wait: std::time::Duration::ZERO,
        }),
        Command::Check(args) => check::run(&args),
        Command::Schema => {
            let schema = motet_gateway::schema::json_schema();
            output::print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))
        }
        Command::Config(args) => config::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Proto(args) => proto::run(&args),
        Command::Call(args) => call::run(&args),
    }
}

/// A tokio runtime for a command.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
