//! One module for each sub-command, and the exit codes.
//!
//! * `serve`: `up`, `gateway` and `serve`; `summary`: what they show on a terminal.
//! * `check`, `graph`, `proto`: commands that read a configuration.
//! * `call`, `health`, `pipelines`: commands that call a running gateway.

mod call;
mod check;
mod graph;
mod health;
mod pipelines;
mod proto;
mod serve;
mod summary;

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::configuration::ConfigurationErrors;
use crate::output;
use crate::process::{Options, Role};

/// Exit code after errors in a configuration, as after wrong usage.
const EXIT_CONFIGURATION: u8 = 2;

/// Runs the command and returns the exit code: 2 after errors in a configuration and wrong usage,
/// 1 after other errors. Errors are printed on standard error.
pub fn run(cli: Cli) -> ExitCode {
    let Err(error) = dispatch(cli) else {
        return ExitCode::SUCCESS;
    };
    if let Some(report) = error.downcast_ref::<ConfigurationErrors>() {
        eprint!("{report}");
        return ExitCode::from(EXIT_CONFIGURATION);
    }
    match error.downcast::<clap::Error>() {
        Ok(usage) => usage.exit(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let Some(command) = cli.command else {
        return serve::run(Options {
            role: Role::Up,
            files: cli.up.files.files(),
            listen: cli.up.listen,
            endpoints: cli.up.remote.endpoints,
            wait: cli.up.remote.wait.unwrap_or_default(),
        });
    };
    match command {
        Command::Up(args) => serve::run(Options {
            role: Role::Up,
            files: args.files.files()?,
            listen: args.listen,
            endpoints: args.remote.endpoints,
            wait: args.remote.wait.unwrap_or_default(),
        }),
        Command::Gateway(args) => serve::run(Options {
            role: Role::Gateway,
            files: args.files.files()?,
            listen: args.listen,
            endpoints: args.remote.endpoints,
            wait: args.remote.wait.unwrap_or_default(),
        }),
        Command::Serve(args) => serve::run(Options {
            role: Role::Serve(args.names),
            files: args.files.files()?,
            listen: args.listen,
            endpoints: Vec::new(),
            wait: std::time::Duration::ZERO,
        }),
        Command::Check(args) => check::run(args),
        Command::Schema => {
            let schema = crate::config::Config::schema();
            output::print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))
        }
        Command::Config(args) => output::print(&args.files.files()?.text()?),
        Command::Graph(args) => graph::run(args),
        Command::Proto(args) => proto::run(args),
        Command::Call(args) => call::run(&args),
        Command::Health(args) => health::run(&args),
        Command::List(args) => pipelines::list(&args),
        Command::Describe(args) => pipelines::describe(&args),
        Command::Explain(args) => pipelines::explain(&args),
        Command::Load(args) => pipelines::load(args),
        Command::Unload(args) => pipelines::unload(&args),
    }
}

/// Returns a tokio runtime for a command.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
