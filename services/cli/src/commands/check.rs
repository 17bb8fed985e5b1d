//! `motet check`: reports all errors in one run.

use motet_gateway::ops;
use motet_service::{HubSources, Tasks};

use super::runtime;
use crate::args::CheckArgs;
use crate::configuration::Configuration;
use crate::lock::Lock;
use crate::output;
use crate::reachable::reachable;
use crate::signatures;

pub(super) fn run(args: CheckArgs, tasks: &Tasks) -> anyhow::Result<()> {
    if args.ops {
        output::print(&ops::docs::text())?;
    }
    let files = args.files.files()?;
    if files.file.is_none() {
        return Ok(());
    }
    let mut configuration = Configuration::read(&files, tasks)?;
    configuration.check_server();
    configuration.check_access();
    let hub = match args.lock {
        // Locked are the files as they are now, not as an earlier lock file has them.
        true => HubSources::from_env(),
        false => configuration.hub(),
    };
    let discover = signatures::discover_from_file(&mut configuration, &hub);
    let (mut signatures, resolved) = runtime()?.block_on(discover)?;
    if args.locked && !configuration.diagnostics.has_errors() {
        Lock::refuse(configuration.lock_path().as_deref(), &resolved)?;
    }
    match configuration.lock_path() {
        Some(path) if args.lock => {
            let lock = Lock::of(&signatures, &resolved)?;
            // Entries of other pipelines of that configuration stay in the lock file.
            let lock = match configuration.borrows() {
                true => Lock::read(&path)?.unwrap_or_default().updated(lock),
                false => lock,
            };
            lock.write(&path)?;
            eprintln!("wrote {}", path.display());
        }
        Some(path) => {
            Lock::fill(&mut signatures, &path)?;
            Lock::warn(&path, &resolved)?;
        }
        None if args.lock => {
            eprintln!("no lock file is written: there is no file to write it beside");
        }
        None => {}
    }
    configuration.check(&signatures, true);
    configuration.ok()?;
    eprint!("{}", configuration.render());
    if configuration.has_server() {
        output::print(&reachable(&configuration.config.server))?;
    }
    output::print(&format!("{}: ok\n", files.name()))
}
