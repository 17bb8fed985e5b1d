//! `motet graph`: a pipeline as a picture.

use anyhow::bail;
use motet_config::list_of;
use motet_gateway::check::CheckedPipeline;
use motet_gateway::serve::dot;

use super::runtime;
use crate::args::{FileArgs, PipelineArgs};
use crate::configuration::Configuration;
use crate::lock::Lock;
use crate::output;
use crate::placement::Placement;
use crate::signatures;

pub(super) fn run(args: &PipelineArgs) -> anyhow::Result<()> {
    output::print(&dot(&checked(&args.pipeline, &args.file)?))
}

/// A pipeline of a configuration, checked against what its models and endpoints say now or said.
pub(super) fn checked(pipeline: &str, file: &FileArgs) -> anyhow::Result<CheckedPipeline> {
    let mut configuration = Configuration::read(file.file.as_deref())?;
    let (placement, needs) = (Placement::of_file(&configuration), configuration.needs());
    let discovery = signatures::discover(&mut configuration, &placement, needs);
    let mut signatures = runtime()?.block_on(discovery)?;
    if let Some(path) = file.file.as_deref().map(Lock::path)
        && let Some(lock) = Lock::read(&path)?
    {
        lock.fill(&mut signatures, &path)?;
    }
    let pipelines = configuration.check(&signatures, false);
    configuration.ok()?;
    let names: Vec<String> = pipelines.iter().map(|p| p.name.clone()).collect();
    match pipelines.into_iter().find(|p| p.name == pipeline) {
        Some(found) => Ok(found),
        None => bail!(
            "the configuration has no pipeline `{pipeline}`; there are: {}",
            list_of(&names)
        ),
    }
}
