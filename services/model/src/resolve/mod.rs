//! A model of the configuration, checked against the model's own files and this binary: every
//! mistake in it, or all that loading it takes. Of the weights, the headers are read.
//!
//! * `encoder`, `splitter`: [`EncoderModel`] and [`SplitterModel`], the two kinds of models.
//! * `files`: files and tokenizers of the sources, each read once.
//! * `batcher_options`: the `batcher` of the configuration as the batcher's options.
//! * `problem`: [`Problem`], a mistake at its key.

mod batcher_options;
mod encoder;
mod files;
mod problem;
mod splitter;

use motet_config::{Diagnostics, Sources};
use motet_proto::signature::Signature;

pub(crate) use encoder::EncoderModel;
pub use problem::Problem;
pub(crate) use splitter::SplitterModel;

use crate::spec::ModelSpec;
use crate::task::Engine;
use files::OpenedFiles;

/// A model that was checked: its signature, and all that [`Loader`](crate::Loader) needs.
#[derive(Clone, Debug)]
pub struct ResolvedModel {
    pub(crate) name: String,
    pub(crate) signature: Signature,
    pub(crate) kind: ModelKind,
}

/// How to load a model.
#[derive(Clone, Debug)]
pub(crate) enum ModelKind {
    Splitter(SplitterModel),
    Encoder(Box<EncoderModel>),
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
    models: &'a [ModelSpec],
    files: OpenedFiles<'a>,
}

impl<'a> Resolver<'a> {
    /// Returns a resolver for `models`, which may refer to each other. `sources` are the files that
    /// they were read from, where relative paths start.
    pub fn new(models: &'a [ModelSpec], sources: &'a Sources) -> Self {
        Self {
            models,
            files: OpenedFiles::new(sources),
        }
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
        let encoders = spec
            .tasks
            .iter()
            .filter_map(|task| match task.value.engine {
                Engine::Splitter => None,
                Engine::Encoder(build) => Some((task.value, build)),
            });
        let encoders: Vec<_> = encoders.collect();
        let (signature, kind) = match (&spec.tasks[..], &encoders[..]) {
            ([], _) => return Err(Vec::new()),
            (_, []) => {
                let (signature, model) = self.resolve_splitter(spec)?;
                (signature, ModelKind::Splitter(model))
            }
            (_, encoders) => {
                let (signature, model) = self.resolve_encoder(spec, encoders)?;
                (signature, ModelKind::Encoder(Box::new(model)))
            }
        };
        Ok(ResolvedModel {
            name: spec.name.value.clone(),
            signature,
            kind,
        })
    }
}
