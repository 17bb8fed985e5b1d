//! A configuration: read, checked against its models' files, and its pipelines against what the
//! models take and give.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use motet_gateway::check::{self, CheckedPipeline, SignatureError, SignatureSource};
use motet_gateway::grpc::{NoService, Schemas, needs};
use motet_gateway::spec::{self, EndpointRef, PipelineSpec};
use motet_proto::signature::Signature;
use motet_runtime::config::{Colour, Config, Diagnostics, ModelSpec, Sources};
use motet_service::Blueprint;
use prost_reflect::ServiceDescriptor;

/// The configuration that is used when there is no other.
pub const BUILTIN: &str = include_str!("builtin.yaml");
/// What messages call it.
const BUILTIN_NAME: &str = "the built-in configuration";

/// A configuration under examination: whatever is wrong is gathered in `diagnostics`.
#[derive(Debug)]
pub struct Configuration {
    /// The file, as far as it could be made out.
    pub config: Config,
    /// The texts that diagnostics point into.
    pub sources: Sources,
    /// What is wrong so far.
    pub diagnostics: Diagnostics,
    /// The pipelines, as far as they could be made out.
    pub pipelines: Vec<PipelineSpec>,
}

/// The mistakes in a configuration, rendered.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mistakes(pub String);

impl Configuration {
    /// Reads a file, or the built-in configuration.
    ///
    /// # Errors
    /// When there is nothing to go on with.
    pub fn read(file: Option<&Path>) -> Result<Self, Mistakes> {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let config = match file {
            Some(path) => Config::load(path, &mut sources, &mut diagnostics),
            None => Config::from_text(BUILTIN_NAME, BUILTIN, &mut sources, &mut diagnostics),
        };
        let Some(config) = config else {
            return Err(mistakes(&diagnostics, &sources));
        };
        let pipelines: Vec<PipelineSpec> = config
            .pipelines
            .iter()
            .filter_map(|node| spec::parse(node, &mut diagnostics))
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

    /// Checks those models that `wanted` names against their files, without reading weights.
    pub fn blueprints(&mut self, wanted: impl Fn(&ModelSpec) -> bool) -> Vec<Blueprint> {
        let resolver = motet_service::Resolver::new(&self.config.models, &self.sources);
        let mut blueprints = Vec::new();
        for spec in self.config.models.iter().filter(|m| wanted(m)) {
            match resolver.resolve(spec) {
                Ok(blueprint) => blueprints.push(blueprint),
                Err(problems) => {
                    for problem in problems {
                        self.diagnostics.push(problem.into());
                    }
                }
            }
        }
        blueprints
    }

    /// What is known of the services at endpoints before any is asked. What is wrong with their
    /// files is reported.
    pub fn services(&mut self) -> Schemas {
        Schemas::new(&self.config.endpoints, &mut self.diagnostics)
    }

    /// The services that the pipelines call, with where they are.
    pub fn needs(&self) -> BTreeSet<(EndpointRef, String)> {
        needs(&self.pipelines)
    }

    /// Checks the pipelines, and gives each after those that it calls. Where a model's signature cannot be had, that is a warning with
    /// `offline`, else an error.
    pub fn check(&mut self, signatures: &Signatures, offline: bool) -> Vec<CheckedPipeline> {
        check::check_all(&self.pipelines, signatures, offline, &mut self.diagnostics)
    }

    /// Every mistake that can be found without reaching other processes.
    pub fn all_mistakes(&mut self) -> Mistakes {
        let blueprints = self.blueprints(ModelSpec::is_local);
        let services = self.services();
        let signatures = Signatures::unknown(&self.config.models)
            .with_blueprints(&blueprints)
            .with_services(services);
        self.check(&signatures, true);
        mistakes(&self.diagnostics, &self.sources)
    }

    /// Goes on only when nothing is wrong so far.
    ///
    /// # Errors
    /// The mistakes, if there are any.
    pub fn ok(&self) -> Result<(), Mistakes> {
        if self.diagnostics.has_errors() {
            return Err(mistakes(&self.diagnostics, &self.sources));
        }
        Ok(())
    }

    /// Everything that is wrong or worth a warning, for people.
    pub fn render(&self) -> String {
        self.diagnostics.render(&self.sources, colour())
    }
}

fn mistakes(diagnostics: &Diagnostics, sources: &Sources) -> Mistakes {
    Mistakes(diagnostics.render(sources, colour()))
}

/// Colours for a terminal whose user has not asked for none.
fn colour() -> Colour {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        Colour::Always
    } else {
        Colour::Never
    }
}

/// What the models and endpoints of a configuration take and give, or why that cannot be had.
#[derive(Debug, Default, Clone)]
pub struct Signatures {
    models: BTreeMap<String, Result<Arc<Signature>, String>>,
    /// What is known of services at endpoints.
    pub services: Schemas,
}

impl Signatures {
    /// Every model of a configuration, none with a signature yet.
    pub fn unknown(models: &[ModelSpec]) -> Self {
        let reason = "its own configuration has mistakes";
        Self {
            models: models
                .iter()
                .map(|m| (m.name.value.clone(), Err(reason.to_owned())))
                .collect(),
            services: Schemas::default(),
        }
    }

    /// With what is known of services at endpoints.
    #[must_use]
    pub fn with_services(mut self, services: Schemas) -> Self {
        self.services = services;
        self
    }

    /// Adds those of blueprints.
    #[must_use]
    pub fn with_blueprints(mut self, blueprints: &[Blueprint]) -> Self {
        for blueprint in blueprints {
            self.insert(blueprint.name(), Ok(blueprint.signature().clone()));
        }
        self
    }

    /// Adds one, or why it cannot be had.
    pub fn insert(&mut self, model: &str, signature: Result<Signature, String>) {
        self.models
            .insert(model.to_owned(), signature.map(Arc::new));
    }
}

impl Signatures {
    /// Each model with its signature, or with why it cannot be had.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Result<&Signature, &str>)> {
        self.models.iter().map(|(model, known)| {
            let known = known.as_ref().map(|s| &**s).map_err(String::as_str);
            (model.as_str(), known)
        })
    }
}

impl SignatureSource for Signatures {
    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError> {
        match self.models.get(name) {
            Some(Ok(signature)) => Ok(signature.clone()),
            Some(Err(reason)) => Err(SignatureError::Unavailable {
                reason: reason.clone(),
            }),
            None => Err(SignatureError::Unknown {
                known: self.models.keys().cloned().collect(),
            }),
        }
    }

    fn service(
        &self,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, NoService> {
        self.services.service(endpoint, service)
    }
}
