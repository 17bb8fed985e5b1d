//! `motet check`: every mistake in one run.

use motet_gateway::ops;

use super::runtime;
use crate::args::CheckArgs;
use crate::configuration::Configuration;
use crate::lock::Lock;
use crate::output;
use crate::placement::Placement;
use crate::signatures;

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    if args.ops {
        output::print(&ops::docs::text())?;
    }
    let Some(file) = &args.file else {
        return Ok(());
    };
    let mut configuration = Configuration::read(Some(file))?;
    // A pipeline alone calls the models of another configuration.
    let mut models_of = configuration
        .config
        .lone_pipeline
        .then(|| Configuration::read(args.models.as_deref()))
        .transpose()?;
    let mut needs = configuration.needs();
    if let Some(models_of) = &models_of {
        needs.extend(models_of.needs());
    }
    let mut signatures = {
        let known_to = models_of.as_mut().unwrap_or(&mut configuration);
        let placement = Placement::of_file(known_to);
        runtime()?.block_on(signatures::discover(known_to, &placement, needs))?
    };
    // The built-in configuration needs no lock: its models are in the program.
    let locked = match &models_of {
        Some(_) => args.models.as_deref(),
        None => Some(file.as_path()),
    };
    if let Some(path) = locked.map(Lock::path) {
        if args.lock {
            Lock::of(&signatures)?.write(&path)?;
            eprintln!("wrote {}", path.display());
        } else if let Some(lock) = Lock::read(&path)? {
            lock.fill(&mut signatures, &path)?;
        }
    }
    if let Some(models_of) = &models_of {
        models_of.ok()?;
    }
    configuration.check(&signatures, true);
    configuration.ok()?;
    eprint!("{}", configuration.render());
    output::print(&format!("{}: ok\n", file.display()))
}
