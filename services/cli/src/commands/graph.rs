//! `motet graph`: a pipeline as a picture.

use anyhow::bail;
use motet_gateway::check::CheckedPipeline;
use motet_gateway::serve::dot;
use motet_runtime::config::list_of;

use crate::args::{FileArgs, PipelineArgs};
use crate::load::{Configuration, Signatures};
use crate::output;

pub(super) fn run(args: &PipelineArgs) -> anyhow::Result<()> {
    output::print(&dot(&checked(&args.pipeline, &args.file)?))
}

/// A pipeline of a configuration, checked against the models' files.
pub(super) fn checked(pipeline: &str, file: &FileArgs) -> anyhow::Result<CheckedPipeline> {
    let mut configuration = Configuration::read(file.file.as_deref())?;
    let blueprints = configuration.blueprints(motet_runtime::config::ModelSpec::is_local);
    let signatures = Signatures::unknown(&configuration.config.models).with_blueprints(&blueprints);
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
