//! A configuration: read, its models resolved against their files, and its pipelines checked
//! against the signatures of the models.
//!
//! * [`Files`]: the files that a command line names.
//! * `streams`: streams, and the pipelines that answer them.
//! * `sent`: models of a text that is sent to a process.
//! * `borrow`: models, endpoints and pipelines that a file of pipelines takes from another file.

mod borrow;
mod sent;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use motet_config::{Colour, Diagnostic, Diagnostics, FILE_BYTES_MAX, Sources, files, list_of};
use motet_gateway::check::{self, CheckedPipeline};
use motet_gateway::grpc::{Schemas, called_services};
use motet_gateway::syntax::{self, EndpointRef, PipelineSpec};
use motet_service::spec::ModelSpec;
use motet_service::{HubSources, Problem, ResolvedModel, Tasks, TokenizerCache, UsedRepository};

use crate::config::Config;
use crate::lock::Lock;
use crate::signatures::Signatures;

/// The configuration that is used where no file is given.
pub const BUILTIN: &str = include_str!("builtin.yaml");
/// The name of the built-in configuration in messages.
const BUILTIN_NAME: &str = "the built-in configuration";
/// The name of standard input in messages.
const STDIN_NAME: &str = "standard input";
/// The path that is standard input.
const STDIN: &str = "-";
/// The name of a text in messages.
const TEXT_NAME: &str = "the configuration";

/// The files that a command line names. The path `-` is standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// A configuration, or a file with one pipeline; the built-in configuration if there is none.
    pub file: Option<PathBuf>,
    /// The configuration that a file of pipelines borrows from; the built-in configuration if there
    /// is none.
    pub models: Option<PathBuf>,
}

impl Files {
    /// Returns the name of the file in messages.
    pub fn name(&self) -> String {
        self.file.as_deref().map_or(BUILTIN_NAME.to_owned(), name)
    }

    /// Reads the text of the file as it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn text(&self) -> anyhow::Result<String> {
        let Some(path) = &self.file else {
            return Ok(BUILTIN.to_owned());
        };
        if is_stdin(path) {
            return read_stdin().map_err(anyhow::Error::msg);
        }
        let text = files::read_text(path, FILE_BYTES_MAX as u64);
        text.with_context(|| format!("{} cannot be read", path.display()))
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

fn name(path: &Path) -> String {
    match is_stdin(path) {
        true => STDIN_NAME.to_owned(),
        false => path.display().to_string(),
    }
}

/// A configuration and everything found wrong with it so far.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Server, models, endpoints and pipelines, as far as they could be read.
    pub config: Config,
    /// The texts that diagnostics point into.
    pub sources: Sources,
    /// The errors and warnings found so far.
    pub diagnostics: Diagnostics,
    /// The pipelines, as far as they could be parsed: the file's own, then borrowed ones.
    pub pipelines: Vec<PipelineSpec>,
    /// The number of the file's own pipelines.
    own_pipelines: usize,
    /// `true` if the file itself has the key `server`.
    has_server: bool,
    /// The models that the pipelines call, if the models are borrowed: only these are served.
    called_models: Option<BTreeSet<String>>,
    /// The file that holds the models, if there is one.
    models_file: Option<PathBuf>,
    /// The files that it was read from; `None` for a text.
    files: Option<Files>,
    /// The tasks that models can have.
    pub(crate) tasks: Tasks,
    /// Tokenizers of its models.
    tokenizers: TokenizerCache,
}

/// Models that were resolved against their files.
#[derive(Debug, Default)]
pub(crate) struct ResolvedModels {
    /// Those without a mistake whose files are on this machine.
    pub(crate) models: Vec<ResolvedModel>,
    /// Models whose files are not on this machine, and which were not resolved.
    pub(crate) absent: Vec<Problem>,
    /// The repositories that they name.
    pub(crate) repositories: Vec<UsedRepository>,
    /// The folders of their sources, by these as they are written.
    pub(crate) folders: BTreeMap<String, PathBuf>,
}

impl ResolvedModels {
    /// Returns the commit of a source, if it is a repository.
    pub(crate) fn commit(&self, source: &str) -> Option<&str> {
        let name = source.strip_prefix("hf:")?;
        let used = self.repositories.iter().find(|used| used.written == name)?;
        Some(used.snapshot.as_ref()?.commit.as_str())
    }
}

/// Every error and warning of a configuration, rendered as one report.
#[derive(Debug, thiserror::Error)]
#[error("{plain}")]
pub struct ConfigurationErrors {
    plain: String,
    /// With colours, if standard error is a terminal that shows them.
    shown: String,
}

impl ConfigurationErrors {
    /// Returns the errors of a report without colours.
    pub(crate) fn of_report(report: String) -> Self {
        Self {
            shown: report.clone(),
            plain: report,
        }
    }

    /// Returns the report for standard error.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

impl Configuration {
    /// Reads a file, or the built-in configuration.
    ///
    /// A file of pipelines, with neither models nor endpoints, borrows: what its pipelines call are
    /// models, endpoints and pipelines of `files.models`, or of the built-in configuration.
    ///
    /// # Errors
    /// When a file cannot be read or is not YAML. Other errors are gathered in `diagnostics`.
    pub fn read(files: &Files, tasks: &Tasks) -> Result<Self, ConfigurationErrors> {
        let file = files.file.as_deref();
        let load = |sources: &mut _, diagnostics: &mut _| load(file, tasks, sources, diagnostics);
        Ok(Self {
            files: Some(files.clone()),
            ..Self::of(load, files, tasks)?
        })
    }

    /// Reads a text, as [`read`](Self::read) reads standard input: there is no file beside it.
    ///
    /// # Errors
    /// As those of [`read`](Self::read).
    pub(crate) fn of_text(text: &str, tasks: &Tasks) -> Result<Self, ConfigurationErrors> {
        let load = |sources: &mut _, diagnostics: &mut _| {
            Config::from_text(TEXT_NAME, text, tasks, sources, diagnostics)
        };
        let files = Files {
            file: Some(PathBuf::from(STDIN)),
            models: None,
        };
        Self::of(load, &files, tasks)
    }

    fn of(
        load: impl FnOnce(&mut Sources, &mut Diagnostics) -> Option<Config>,
        files: &Files,
        tasks: &Tasks,
    ) -> Result<Self, ConfigurationErrors> {
        let mut sources = Sources::new();
        let mut diagnostics = Diagnostics::new();
        let Some(config) = load(&mut sources, &mut diagnostics) else {
            return Err(report(&diagnostics, &sources));
        };
        let pipelines = parse(&config, &mut diagnostics);
        let mut configuration = Self {
            own_pipelines: pipelines.len(),
            has_server: config.server_entry.is_some(),
            called_models: None,
            models_file: files.file.clone(),
            files: None,
            tasks: tasks.clone(),
            tokenizers: TokenizerCache::default(),
            config,
            sources,
            diagnostics,
            pipelines,
        };
        let Config {
            models, endpoints, ..
        } = &configuration.config;
        if files.file.is_some() && models.is_empty() && endpoints.is_empty() {
            configuration.borrow(files.models.as_deref())?;
        } else if files.models.is_some() {
            let message = format!(
                "`--models` is for a file of pipelines: {} has models or endpoints of its own",
                files.name()
            );
            let diagnostic = Diagnostic::error_without_span(message);
            configuration.diagnostics.push(diagnostic);
        }
        let mut diagnostics = std::mem::take(&mut configuration.diagnostics);
        let models = configuration.served_models().map(|m| &m.name);
        check::check_names(&configuration.pipelines, models, &mut diagnostics);
        configuration.diagnostics = diagnostics;
        Ok(configuration)
    }

    /// Returns the models that a process with this configuration runs or reaches. Of borrowed
    /// models, these are the ones that pipelines call.
    pub(crate) fn served_models(&self) -> impl Iterator<Item = &ModelSpec> {
        let called = self.called_models.as_ref();
        let models = self.config.models.iter();
        models.filter(move |m| called.is_none_or(|called| called.contains(&m.name.value)))
    }

    /// Returns `true` if the file itself, not one that it borrows from, has the key `server`.
    pub(crate) const fn has_server(&self) -> bool {
        self.has_server
    }

    /// Returns whether the models are borrowed from another configuration.
    pub(crate) fn borrows(&self) -> bool {
        self.called_models.is_some()
    }

    /// Returns the path of the lock file beside the file that holds the models. `None` for the
    /// built-in configuration, whose models are in the program, and for standard input.
    pub(crate) fn lock_path(&self) -> Option<PathBuf> {
        let file = self.models_file.as_deref();
        file.filter(|path| !is_stdin(path)).map(Lock::path)
    }

    /// Returns the name of the pipeline that a command line means: `name`, or the file's only one.
    ///
    /// # Errors
    /// When there is no such pipeline, or no name and several pipelines.
    pub(crate) fn pipeline(&self, name: Option<&str>) -> anyhow::Result<String> {
        let names: Vec<&str> = self
            .pipelines
            .iter()
            .map(|p| p.name.value.as_str())
            .collect();
        match (name, &names[..self.own_pipelines]) {
            (Some(name), _) if names.contains(&name) => Ok(name.to_owned()),
            (Some(name), _) => bail!(
                "the configuration has no pipeline `{name}`; there are: {}",
                list_of(&names)
            ),
            (None, [only]) => Ok((*only).to_owned()),
            (None, []) => bail!("the configuration has no pipeline"),
            (None, several) => bail!(
                "the configuration has several pipelines: name one of {}",
                list_of(several)
            ),
        }
    }

    /// Resolves the models that `wanted` selects against their files, without reading weights.
    /// Errors are added to `diagnostics`, but for repositories that are not on this machine.
    pub(crate) fn resolve_models(
        &mut self,
        hub: &HubSources,
        wanted: impl Fn(&ModelSpec) -> bool,
    ) -> ResolvedModels {
        let resolver = motet_service::Resolver::new(&self.config.models, &self.sources);
        let resolver = resolver.with_hub(hub.clone());
        let resolver = resolver.with_tokenizers(self.tokenizers.clone());
        let mut resolved = ResolvedModels::default();
        for spec in self.config.models.iter().filter(|m| wanted(m)) {
            match resolver.resolve(spec) {
                Ok(model) => resolved.models.push(model),
                Err(problems) => {
                    for problem in problems {
                        match problem.is_of_absent() {
                            true => resolved.absent.push(problem),
                            false => self.diagnostics.push(problem.into()),
                        }
                    }
                }
            }
        }
        resolved.repositories = resolver.repositories();
        resolved.folders = resolver.folders();
        resolved
    }

    /// Returns the hub of the models, which the environment names, with the commits that the lock
    /// file has. A lock file that cannot be used is reported by who needs its contents.
    pub(crate) fn hub(&self) -> HubSources {
        let lock = self
            .lock_path()
            .and_then(|path| Lock::read(&path).ok().flatten());
        HubSources {
            pins: lock.map(|lock| lock.commits()).unwrap_or_default(),
            ..HubSources::from_env()
        }
    }

    /// Returns the schemas of services at endpoints that are known without asking a server.
    /// Errors in descriptor files are added to `diagnostics`.
    pub(crate) fn schemas(&mut self) -> Schemas {
        Schemas::new(&self.config.endpoints, &mut self.diagnostics)
    }

    /// Returns the services that the pipelines call, each with its endpoint.
    pub(crate) fn called_services(&self) -> BTreeSet<(EndpointRef, String)> {
        called_services(&self.pipelines)
    }

    /// Reports what is wrong with the files of the key `server`, and with who may reach its ports.
    pub(crate) fn check_server(&mut self) {
        if let Some(entry) = &self.config.server_entry {
            self.config.server.check(entry, &mut self.diagnostics);
        }
    }

    /// Reports what is wrong with the files by which servers in other processes are spoken to.
    pub(crate) fn check_access(&mut self) {
        let models = self.config.models.iter().map(|model| &model.access);
        let endpoints = self.config.endpoints.iter().map(|spec| &spec.access);
        for access in models.chain(endpoints) {
            access.check(&mut self.diagnostics);
        }
        motet_stream::config::check_access(&self.config.streams, &mut self.diagnostics);
    }

    /// Checks the pipelines, and returns the correct ones, each after those that it calls.
    ///
    /// A model or service whose signature is unavailable is a warning where `offline` is set, and
    /// an error otherwise.
    pub(crate) fn check(&mut self, signatures: &Signatures, offline: bool) -> Vec<CheckedPipeline> {
        let pipelines =
            check::check_all(&self.pipelines, signatures, offline, &mut self.diagnostics);
        self.check_streams(&pipelines, offline);
        pipelines
    }

    /// Succeeds if no error has been found so far.
    ///
    /// # Errors
    /// The report of everything that was found.
    pub(crate) fn ok(&self) -> Result<(), ConfigurationErrors> {
        if self.diagnostics.has_errors() {
            return Err(self.errors());
        }
        Ok(())
    }

    /// Returns the report of everything that was found, as an error.
    pub(crate) fn errors(&self) -> ConfigurationErrors {
        report(&self.diagnostics, &self.sources)
    }

    /// Renders errors and warnings for a person.
    pub(crate) fn render(&self) -> String {
        self.diagnostics.render(&self.sources, colour())
    }
}

/// Loads a file, standard input, or the built-in configuration. `None` after an error that leaves
/// nothing to go on with, which is added to `diagnostics`.
pub(crate) fn load(
    file: Option<&Path>,
    tasks: &Tasks,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Config> {
    match file {
        None => Config::from_text(BUILTIN_NAME, BUILTIN, tasks, sources, diagnostics),
        Some(path) if is_stdin(path) => match read_stdin() {
            Ok(text) => Config::from_text(STDIN_NAME, &text, tasks, sources, diagnostics),
            Err(why) => {
                diagnostics.push(Diagnostic::error_without_span(why));
                None
            }
        },
        Some(path) => Config::load(path, tasks, sources, diagnostics),
    }
}

/// Reads standard input, or says why it cannot be read.
fn read_stdin() -> Result<String, String> {
    let mut text = Vec::new();
    let mut stdin = std::io::stdin().lock().take(FILE_BYTES_MAX as u64 + 1);
    let cannot = |why: &str| format!("cannot read {STDIN_NAME}: {why}");
    stdin
        .read_to_end(&mut text)
        .map_err(|e| cannot(&e.to_string()))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(cannot(&format!(
            "it has more bytes than the limit of {FILE_BYTES_MAX}"
        )));
    }
    String::from_utf8(text).map_err(|_| cannot("it is not UTF-8 text"))
}

fn parse(config: &Config, diagnostics: &mut Diagnostics) -> Vec<PipelineSpec> {
    let pipelines = config.pipelines.iter();
    pipelines
        .filter_map(|node| syntax::parse(node, diagnostics))
        .collect()
}

pub(crate) fn report(diagnostics: &Diagnostics, sources: &Sources) -> ConfigurationErrors {
    ConfigurationErrors {
        plain: diagnostics.render(sources, Colour::Never),
        shown: diagnostics.render(sources, colour()),
    }
}

/// Colours if standard error is a terminal and `NO_COLOR` is not set.
fn colour() -> Colour {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        Colour::Always
    } else {
        Colour::Never
    }
}
