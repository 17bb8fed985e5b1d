//! A configuration: read, its models resolved against their files, and its pipelines checked
//! against what the models take and give.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;

use motet_config::{Colour, Diagnostics, Sources};
use motet_gateway::check::{self, CheckedPipeline};
use motet_gateway::grpc::{Schemas, needs};
use motet_gateway::syntax::{self, EndpointRef, PipelineSpec};
use motet_runtime::config::{Config, ModelSpec};
use motet_service::ResolvedModel;

use crate::signatures::Signatures;

/// The configuration that is used where no file is given.
pub const BUILTIN: &str = include_str!("builtin.yaml");
/// The name of the built-in configuration in messages.
const BUILTIN_NAME: &str = "the built-in configuration";

/// A configuration and everything found wrong with it so far.
#[derive(Debug)]
pub struct Configuration {
    /// Server, models, endpoints and pipelines, as far as they could be read.
    pub config: Config,
    /// The texts that diagnostics point into.
    pub sources: Sources,
    /// The errors and warnings found so far.
    pub diagnostics: Diagnostics,
    /// The pipelines, as far as they could be parsed.
    pub pipelines: Vec<PipelineSpec>,
}

/// Every error and warning of a configuration, rendered as one report.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigurationErrors(pub String);

impl Configuration {
    /// Reads a file, or the built-in configuration.
    ///
    /// # Errors
    /// When the file cannot be read or is not YAML. Other errors are gathered in `diagnostics`.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigurationErrors> {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let config = match file {
            Some(path) => Config::load(path, &mut sources, &mut diagnostics),
            None => Config::from_text(BUILTIN_NAME, BUILTIN, &mut sources, &mut diagnostics),
        };
        let Some(config) = config else {
            return Err(report(&diagnostics, &sources));
        };
        let pipelines: Vec<PipelineSpec> = config
            .pipelines
            .iter()
            .filter_map(|node| syntax::parse(node, &mut diagnostics))
            .collect();
        let models = config.models.iter().map(|m| &m.name);
        check::check_names(&pipelines, models, &mut diagnostics);
        Ok(Self {
            config,
            sources,
            diagnostics,
            pipelines,
        })
    }

    /// Resolves the models that `wanted` selects against their files, without reading weights.
    /// Errors are added to `diagnostics`.
    pub fn resolve_models(&mut self, wanted: impl Fn(&ModelSpec) -> bool) -> Vec<ResolvedModel> {
        let resolver = motet_service::Resolver::new(&self.config.models, &self.sources);
        let mut resolved = Vec::new();
        for spec in self.config.models.iter().filter(|m| wanted(m)) {
            match resolver.resolve(spec) {
                Ok(model) => resolved.push(model),
                Err(problems) => {
                    for problem in problems {
                        self.diagnostics.push(problem.into());
                    }
                }
            }
        }
        resolved
    }

    /// Returns the schemas of services at endpoints that are known without asking a server.
    /// Errors in descriptor files are added to `diagnostics`.
    pub fn schemas(&mut self) -> Schemas {
        Schemas::new(&self.config.endpoints, &mut self.diagnostics)
    }

    /// Returns the services that the pipelines call, each with its endpoint.
    pub fn needs(&self) -> BTreeSet<(EndpointRef, String)> {
        needs(&self.pipelines)
    }

    /// Checks the pipelines, and returns the correct ones, each after those that it calls.
    ///
    /// A model or service whose signature is unavailable is a warning where `offline` is set, and
    /// an error otherwise.
    pub fn check(&mut self, signatures: &Signatures, offline: bool) -> Vec<CheckedPipeline> {
        check::check_all(&self.pipelines, signatures, offline, &mut self.diagnostics)
    }

    /// Succeeds if no error has been found so far.
    ///
    /// # Errors
    /// The report of everything that was found.
    pub fn ok(&self) -> Result<(), ConfigurationErrors> {
        if self.diagnostics.has_errors() {
            return Err(self.errors());
        }
        Ok(())
    }

    /// Returns the report of everything that was found, as an error.
    pub fn errors(&self) -> ConfigurationErrors {
        report(&self.diagnostics, &self.sources)
    }

    /// Renders errors and warnings for a person.
    pub fn render(&self) -> String {
        self.diagnostics.render(&self.sources, colour())
    }
}

fn report(diagnostics: &Diagnostics, sources: &Sources) -> ConfigurationErrors {
    ConfigurationErrors(diagnostics.render(sources, colour()))
}

/// Colours if standard error is a terminal and `NO_COLOR` is not set.
fn colour() -> Colour {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        Colour::Always
    } else {
        Colour::Never
    }
}
