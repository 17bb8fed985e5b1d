//! A model of the configuration, checked against the model's own files and this binary: every
//! mistake in it, or all that loading it takes. Of the weights, the headers are read.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use motet_batcher::Options;
use motet_config::{Diagnostics, Sources, Span, Spanned};
use motet_models::{DeviceError, DeviceSpec, Precision, TokenizerCache};
use motet_proto::signature::Signature;

use crate::hub_sources::{HubSources, UsedRepository};
use crate::identity::Identity;
use crate::spec::ModelSpec;
use crate::task::{BoxError, CheckContext, Checked, Facts, OpenedSources, OtherModel, Problem};

/// A model that was checked: its signature, and all that [`Loader`](crate::Loader) needs.
#[derive(Clone)]
pub struct ResolvedModel {
    pub(crate) name: String,
    pub(crate) signature: Signature,
    pub(crate) identity: Identity,
    pub(crate) checked: Arc<dyn Checked>,
    pub(crate) settings: Settings,
}

/// The settings of a model that are not its task's own.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) device: DeviceSpec,
    pub(crate) precision: Precision,
    /// Threads that compute a batch on a CPU; `None` is an equal share of the cores for each
    /// executor.
    pub(crate) threads: Option<usize>,
    pub(crate) options: Options,
    pub(crate) executors: usize,
}

impl ResolvedModel {
    /// Returns the model's name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ports and parameters of the model.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Returns what it would be loaded from.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns what is known of the model before it is loaded. Of the weights, headers are read.
    ///
    /// # Errors
    /// Files that cannot be read, or a device that is not there.
    pub fn facts(&self) -> Result<Facts, BoxError> {
        self.checked.facts()
    }
}

impl fmt::Debug for ResolvedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedModel")
            .field("name", &self.name)
            .field("signature", &self.signature)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Checks all models that this process can run, and reports every mistake at its place in the
/// file. Returns the models without mistakes, in the file's order.
pub fn check(
    models: &[ModelSpec],
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<ResolvedModel> {
    let resolver = Resolver::new(models, sources);
    let mut resolved = Vec::new();
    for spec in models.iter().filter(|spec| spec.is_local()) {
        match resolver.resolve(spec) {
            Ok(model) => resolved.push(model),
            Err(problems) => {
                let problems = problems.into_iter().map(Into::into);
                problems.for_each(|problem| diagnostics.push(problem));
            }
        }
    }
    resolved
}

/// Resolves the models of one configuration. Files that several models use are read once.
#[derive(Debug)]
pub struct Resolver<'a> {
    models: Vec<OtherModel<'a>>,
    sources: &'a Sources,
    hub: HubSources,
    tokenizers: TokenizerCache,
    opened: OpenedSources<'a>,
}

impl<'a> Resolver<'a> {
    /// Returns a resolver for `models`, which may refer to each other. `sources` are the files that
    /// they were read from, where relative paths start.
    pub fn new(models: &'a [ModelSpec], sources: &'a Sources) -> Self {
        let (hub, tokenizers) = (HubSources::from_env(), TokenizerCache::default());
        Self {
            models: models.iter().map(view).collect(),
            opened: OpenedSources::new(sources, hub.clone(), tokenizers.clone()),
            sources,
            hub,
            tokenizers,
        }
    }

    /// Returns the resolver with a hub of its own, in place of that of the environment.
    #[must_use]
    pub fn with_hub(self, hub: HubSources) -> Self {
        Self {
            opened: OpenedSources::new(self.sources, hub.clone(), self.tokenizers.clone()),
            hub,
            ..self
        }
    }

    /// Returns the resolver with tokenizers that others use, too.
    #[must_use]
    pub fn with_tokenizers(self, tokenizers: TokenizerCache) -> Self {
        Self {
            opened: OpenedSources::new(self.sources, self.hub.clone(), tokenizers.clone()),
            tokenizers,
            ..self
        }
    }

    /// Returns the folders of the sources that were asked for so far and are on this machine, by
    /// these as they are written.
    pub fn folders(&self) -> BTreeMap<String, PathBuf> {
        self.opened.folders()
    }

    /// Returns the repositories of a hub that were asked for so far.
    pub fn repositories(&self) -> Vec<UsedRepository> {
        self.opened.repositories()
    }

    /// Returns a model's ports and parameters, for which its own configuration files suffice.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn signature(&self, spec: &ModelSpec) -> Result<Signature, Vec<Problem>> {
        self.resolve(spec).map(|model| model.signature)
    }

    /// Checks a model against its files and this binary.
    ///
    /// # Errors
    /// Every mistake found. The list is empty where the mistake is reported elsewhere: by the
    /// configuration's reader (no task, no source) or for another model.
    pub fn resolve(&self, spec: &ModelSpec) -> Result<ResolvedModel, Vec<Problem>> {
        let Some(task) = spec.tasks.first() else {
            return Err(Vec::new());
        };
        let mut problems = Vec::new();
        let (device, precision) = compute(spec, &mut problems);
        let context = CheckContext {
            model: view(spec),
            models: &self.models,
            sources: &self.opened,
            device,
            precision,
        };
        self.opened.take_asked();
        let checked = task.value.check(&context);
        let (signature, checked) = match checked {
            Ok(checked) if problems.is_empty() => checked,
            Ok(_) => return Err(problems),
            Err(of_task) => {
                problems.extend(of_task);
                return Err(problems);
            }
        };
        Ok(ResolvedModel {
            name: spec.name.value.clone(),
            signature,
            identity: Identity::new(self.text(spec), self.opened.take_asked()),
            checked,
            settings: Settings {
                device,
                precision,
                threads: spec.threads.map(|threads| threads.value),
                options: spec.batcher.options.clone(),
                executors: spec.batcher.executors,
            },
        })
    }
}

impl Resolver<'_> {
    /// Returns the text of a model in its file.
    fn text(&self, spec: &ModelSpec) -> &str {
        let Span { file, start, end } = spec.span;
        self.sources
            .file(file)
            .text()
            .get(start..end)
            .unwrap_or_default()
    }
}

/// Returns a model as far as others may know it.
fn view(spec: &ModelSpec) -> OtherModel<'_> {
    OtherModel {
        name: &spec.name,
        source: spec.source.as_ref(),
        tasks: &spec.tasks,
        keys: spec.keys.as_ref(),
    }
}

/// Returns the device and the number format; the defaults of those that cannot be used.
fn compute(spec: &ModelSpec, problems: &mut Vec<Problem>) -> (DeviceSpec, Precision) {
    let device: Option<DeviceSpec> = parse(spec, "device", spec.device.as_ref(), problems);
    let precision: Option<Precision> = parse(spec, "dtype", spec.dtype.as_ref(), problems);
    let message = |checked: Result<(), DeviceError>| checked.err().map(|error| error.to_string());
    let compiled = device.map(DeviceSpec::check_compiled).and_then(message);
    let fits = device
        .zip(precision)
        .map(|(d, p)| p.check(d))
        .and_then(message);
    let checks = [
        ("device", &spec.device, compiled),
        ("dtype", &spec.dtype, fits),
    ];
    for (key, given, message) in checks {
        if let (Some(message), Some(given)) = (message, given) {
            problems.push(Problem::new(&*spec.name.value, key, given.span, message));
        }
    }
    (device.unwrap_or_default(), precision.unwrap_or_default())
}

/// Returns the value of a key whose words the models crate defines; its default without the key.
fn parse<T>(
    spec: &ModelSpec,
    key: &'static str,
    given: Option<&Spanned<String>>,
    problems: &mut Vec<Problem>,
) -> Option<T>
where
    T: Default + FromStr,
    T::Err: Display,
{
    let Some(given) = given else {
        return Some(T::default());
    };
    match given.value.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            let message = T::Err::to_string(&error);
            problems.push(Problem::new(&*spec.name.value, key, given.span, message));
            None
        }
    }
}
