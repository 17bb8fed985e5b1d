//! `motet graph`: the graph of a pipeline.

use anyhow::bail;
use motet_gateway::check::CheckedPipeline;
use motet_gateway::serve::dot;
use motet_service::Tasks;

use super::runtime;
use crate::args::PipelineArgs;
use crate::configuration::{Configuration, Files};
use crate::lock::Lock;
use crate::output;
use crate::signatures;

pub(super) fn run(args: PipelineArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let (pipeline, files) = args.pipeline.split()?;
    output::print(&dot(&checked(pipeline.as_deref(), &files, tasks)?))
}

/// Checks the pipelines of a configuration, and returns the one with this name, or the only one.
/// Signatures that no server states are those of the lock file.
pub(super) fn checked(
    pipeline: Option<&str>,
    files: &Files,
    tasks: &Tasks,
) -> anyhow::Result<CheckedPipeline> {
    let mut configuration = Configuration::read(files, tasks)?;
    let hub = configuration.hub();
    let discover = signatures::discover_from_file(&mut configuration, &hub);
    let (mut signatures, _) = runtime()?.block_on(discover)?;
    if let Some(path) = configuration.lock_path() {
        Lock::fill(&mut signatures, &path)?;
    }
    let pipelines = configuration.check(&signatures, false);
    configuration.ok()?;
    let name = configuration.pipeline(pipeline)?;
    match pipelines.into_iter().find(|p| p.name == name) {
        Some(found) => Ok(found),
        None => bail!("the pipeline `{name}` cannot run"),
    }
}
