//! One module for each sub-command, and the exit codes.
//!
//! * `serve`: `up`, `gateway` and `serve`; `summary`: what they show on a terminal.
//! * `check`, `graph`, `proto`: commands that read a configuration.
//! * `pull`: files of models, fetched from a hub; `models`: what they are; `verify`: whether they
//!   answer as elsewhere.
//! * `batch`: a pipeline over files.
//! * `keys`: credentials of callers.
//! * `new`: a project with a task of its own.
//! * `stream`: pipelines over messages of brokers.
//! * `call`, `health`, `pipelines`: commands that call a running gateway.

mod batch;
mod call;
mod check;
mod graph;
mod health;
mod keys;
mod models;
mod new;
mod pipelines;
mod proto;
mod pull;
mod serve;
mod stream;
mod summary;
mod verify;

use motet_service::Tasks;

use crate::args::{Cli, Command, RemoteArgs, RunArgs, UpFlags};
use crate::configuration::ConfigurationErrors;
use crate::exit::Exit;
use crate::output;
use crate::process::{Options, Role};

/// Runs the command and returns the exit code: 2 after errors in a configuration, 1 after other
/// errors, which are printed on standard error. `program` is the name of the program.
///
/// # Errors
/// When the command line is wrong. Nothing was printed then.
pub(crate) fn run(cli: Cli, program: &str, tasks: &Tasks) -> Result<Exit, clap::Error> {
    if let Some(Command::Batch(args)) = cli.command {
        return Ok(batch::run(*args, tasks));
    }
    let Err(error) = dispatch(cli, program, tasks) else {
        return Ok(Exit::SUCCESS);
    };
    if let Some(report) = error.downcast_ref::<ConfigurationErrors>() {
        eprint!("{}", report.shown());
        return Ok(Exit::USAGE);
    }
    let error = error.downcast::<clap::Error>();
    error.map_or_else(
        |error| {
            eprintln!("error: {error:#}");
            Ok(Exit::FAILURE)
        },
        Err,
    )
}

fn dispatch(cli: Cli, program: &str, tasks: &Tasks) -> anyhow::Result<()> {
    let serve = |role, files, listen, remote: RemoteArgs, own: RunArgs| {
        let options = Options {
            role,
            files,
            listen,
            endpoints: remote.endpoints,
            wait: remote.wait.unwrap_or_default(),
            locked: own.locked,
            watch: own.watch,
            memory: own.memory.unwrap_or_default(),
            tasks: tasks.clone(),
        };
        serve::run(options, program)
    };
    let Some(command) = cli.command else {
        let UpFlags {
            files,
            listen,
            remote,
            run,
        } = cli.up;
        return serve(Role::Up, files.files(), listen, remote, run);
    };
    match command {
        Command::Up(args) => {
            let files = args.files.files()?;
            serve(Role::Up, files, args.listen, args.remote, args.run)
        }
        Command::Gateway(args) => {
            let files = args.files.files()?;
            serve(Role::Gateway, files, args.listen, args.remote, args.run)
        }
        Command::Serve(args) => {
            let (role, files) = (Role::Serve(args.names), args.files.files()?);
            let remote = RemoteArgs::default();
            serve(role, files, args.listen, remote, args.run)
        }
        Command::Stream(args) => stream::run(args, tasks),
        Command::Check(args) => check::run(args, tasks),
        Command::Schema => {
            let schema = crate::config::Config::schema(tasks);
            output::print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))
        }
        Command::Config(args) => output::print(&args.files.files()?.text()?),
        Command::Graph(args) => graph::run(args, tasks),
        Command::Proto(args) => proto::run(args, tasks),
        // It has exit codes of its own, see `run`.
        Command::Batch(_) => Ok(()),
        Command::Pull(args) => pull::run(args, tasks),
        Command::Models(args) => models::run(args, tasks),
        Command::Verify(args) => verify::run(args, tasks),
        Command::New(args) => new::run(&args),
        Command::Keys(args) => keys::run(args),
        Command::Call(args) => call::run(&args),
        Command::Health(args) => health::run(&args),
        Command::List(args) => pipelines::list(&args),
        Command::Describe(args) => pipelines::describe(&args),
        Command::Explain(args) => pipelines::explain(&args),
        Command::Load(args) => pipelines::load(args, tasks),
        Command::Unload(args) => pipelines::unload(&args),
    }
}

/// Returns a tokio runtime for a command.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    motet_runtime::heap::limit_heaps();
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
