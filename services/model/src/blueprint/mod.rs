//! From a model of the configuration to everything that loading it takes, and every mistake in it: no weights are read.

mod batching;
mod problem;
mod signature;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use motet_batcher::Options;
use motet_models::{
    ChunkerOptions, DeviceSpec, ModelFiles, Pooling, Precision, RowOutput, Source, Tokenizer,
};
use motet_proto::signature::Signature;
use motet_runtime::config::{self, Diagnostics, ModelSpec, Sources, Spanned, Task, TokenizerSpec};

pub use problem::Problem;
pub(crate) use signature::names;

/// A model of the configuration that was checked against its files: what it takes and gives, and how to load it.
#[derive(Clone, Debug)]
pub struct Blueprint {
    pub(crate) name: String,
    pub(crate) signature: Signature,
    pub(crate) plan: Plan,
}

/// How to load a model.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// A tokenizer is all it takes.
    Preprocess {
        tokenizer: Arc<Tokenizer>,
        /// Chunks of a call that does not say.
        chunks: ChunkerOptions,
    },
    /// A tokenizer, and weights behind a batcher.
    Encode(Box<EncodePlan>),
}

/// How to load a model that has weights.
#[derive(Clone, Debug)]
pub(crate) struct EncodePlan {
    pub(crate) head: Head,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) files: ModelFiles,
    pub(crate) device: DeviceSpec,
    pub(crate) precision: Precision,
    /// Threads that compute a batch on a CPU; `None` is as many as the process may use.
    pub(crate) threads: Option<usize>,
    pub(crate) output: RowOutput,
    pub(crate) max_tokens: usize,
    pub(crate) options: Options,
    pub(crate) executors: usize,
}

/// What becomes of the encoder's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// One vector for each text.
    Embed,
    /// Vectors of all tokens.
    EmbedTokens,
    /// A score for each text against the query.
    Rerank,
}

impl Blueprint {
    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

/// Resolves the models of one configuration. Files that several models use are read once.
#[derive(Debug)]
pub struct Resolver<'a> {
    models: &'a [ModelSpec],
    sources: &'a Sources,
    opened: RefCell<HashMap<Source, (ModelFiles, Arc<Tokenizer>)>>,
}

/// Checks every model that runs in this process and reports what is wrong, each at its place in the file; gives those in which
/// nothing is, in the file's order.
pub fn check(
    models: &[ModelSpec],
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<Blueprint> {
    let resolver = Resolver::new(models, sources);
    let mut blueprints = Vec::new();
    for spec in models.iter().filter(|spec| spec.is_local()) {
        match resolver.resolve(spec) {
            Ok(blueprint) => blueprints.push(blueprint),
            Err(problems) => problems
                .into_iter()
                .for_each(|p| diagnostics.push(p.into())),
        }
    }
    blueprints
}

impl<'a> Resolver<'a> {
    /// For models that may refer to each other, and the files they were read from: relative paths start there.
    pub fn new(models: &'a [ModelSpec], sources: &'a Sources) -> Self {
        Self {
            models,
            sources,
            opened: RefCell::default(),
        }
    }

    /// What a model takes and gives, from its configuration files alone.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn signature(&self, spec: &ModelSpec) -> Result<Signature, Vec<Problem>> {
        self.resolve(spec).map(|blueprint| blueprint.signature)
    }

    /// Checks a model against its files and this binary.
    ///
    /// # Errors
    /// Every mistake found. None where the configuration's reader has already reported what is missing (no task, no source), or where
    /// the mistake is another model's.
    pub fn resolve(&self, spec: &ModelSpec) -> Result<Blueprint, Vec<Problem>> {
        let Some(task) = spec.task.map(|task| task.value) else {
            return Err(Vec::new());
        };
        let (signature, plan) = match task {
            Task::Preprocess => self.preprocess(spec)?,
            Task::Embed => self.encode(spec, Head::Embed)?,
            Task::EmbedTokens => self.encode(spec, Head::EmbedTokens)?,
            Task::Rerank => self.encode(spec, Head::Rerank)?,
        };
        Ok(Blueprint {
            name: spec.name.value.clone(),
            signature,
            plan,
        })
    }

    fn preprocess(&self, spec: &ModelSpec) -> Result<(Signature, Plan), Vec<Problem>> {
        let (at, (files, tokenizer), limit) = match (&spec.tokenizer, &spec.source) {
            (Some(reference), _) => match &reference.value {
                TokenizerSpec::Model(name) => {
                    let other = self.models.iter().find(|model| model.name.value == *name);
                    let other = other.filter(|other| other.task.is_some());
                    let source = other.and_then(|other| other.source.as_ref());
                    let (Some(other), Some(source)) = (other, source) else {
                        return Err(Vec::new());
                    };
                    // What is wrong with the other model's files is reported there.
                    let opened = self.open(other, "source", source).map_err(|_| Vec::new())?;
                    (("tokenizer", reference.span), opened, other.max_tokens)
                }
                TokenizerSpec::Source(source) => {
                    let source = Spanned::new(source.clone(), reference.span);
                    let opened = self.open(spec, "tokenizer", &source)?;
                    (("tokenizer", reference.span), opened, None)
                }
            },
            (None, Some(source)) => (
                ("source", source.span),
                self.open(spec, "source", source)?,
                None,
            ),
            (None, None) => return Err(Vec::new()),
        };
        let max_tokens = limit.map_or(usize::MAX, |limit| limit.value);
        let max_tokens = max_tokens.min(files.config().max_tokens);
        let chunk_tokens_max = max_tokens.saturating_sub(tokenizer.special_tokens());
        let least = ChunkerOptions::MAX_TOKENS_MIN;
        if chunk_tokens_max < least {
            let message = format!(
                "the model takes {chunk_tokens_max} tokens of text in a row; chunks need at least {least}"
            );
            return Err(vec![problem(spec, at.0, at.1, message)]);
        }
        let chunks = signature::default_chunks(chunk_tokens_max);
        let signature = signature::preprocess(chunks, chunk_tokens_max);
        Ok((signature, Plan::Preprocess { tokenizer, chunks }))
    }

    fn encode(&self, spec: &ModelSpec, head: Head) -> Result<(Signature, Plan), Vec<Problem>> {
        let mut problems = Vec::new();
        let named = parse(spec, "device", spec.device.as_ref(), &mut problems);
        let device = named.filter(|device: &DeviceSpec| match device.check_compiled() {
            Ok(()) => true,
            Err(error) => {
                problems.extend(
                    spec.device
                        .as_ref()
                        .map(|value| problem(spec, "device", value.span, error.to_string())),
                );
                false
            }
        });
        let precision: Option<Precision> = parse(spec, "dtype", spec.dtype.as_ref(), &mut problems);
        if let (Some(device), Some(precision), Some(given)) = (named, precision, &spec.dtype)
            && let Err(error) = precision.check(device)
        {
            problems.push(problem(spec, "dtype", given.span, error.to_string()));
        }
        let opened = match &spec.source {
            Some(source) => self.open(spec, "source", source),
            None => Err(Vec::new()),
        };
        let opened = opened.map_err(|found| problems.extend(found)).ok();
        let max_tokens = opened.as_ref().and_then(|(files, tokenizer)| {
            let range = tokenizer.special_tokens() + 1..=files.config().max_tokens;
            match spec.max_tokens {
                None => Some(*range.end()),
                Some(limit) if range.contains(&limit.value) => Some(limit.value),
                Some(limit) => {
                    let message = format!(
                        "`max_tokens` is {}, but this model takes between {} and {} tokens in a row",
                        limit.value,
                        range.start(),
                        range.end()
                    );
                    problems.push(problem(spec, "max_tokens", limit.span, message));
                    None
                }
            }
        });
        let (Some(device), Some(precision), Some((files, tokenizer)), Some(max_tokens), []) =
            (device, precision, opened, max_tokens, &problems[..])
        else {
            return Err(problems);
        };
        let normalize = spec.normalize.map(|normalize| normalize.value);
        let size = files.config().hidden_size();
        let (signature, output) = match head {
            Head::Embed => {
                let pooling = spec.pooling.map(|pooling| match pooling.value {
                    config::Pooling::Mean => Pooling::Mean,
                    config::Pooling::Cls => Pooling::Cls,
                });
                (
                    signature::embed(size),
                    RowOutput::Pooled { pooling, normalize },
                )
            }
            Head::EmbedTokens => {
                let normalize = normalize.unwrap_or(files.config().normalize);
                (
                    signature::embed_tokens(size),
                    RowOutput::Tokens { normalize },
                )
            }
            Head::Rerank => (signature::rerank(), RowOutput::TOKENS),
        };
        let plan = EncodePlan {
            head,
            tokenizer,
            files,
            device,
            precision,
            threads: spec.threads.map(|threads| threads.value),
            output,
            max_tokens,
            options: batching::options(&spec.batcher, max_tokens),
            executors: spec.batcher.executors,
        };
        Ok((signature, Plan::Encode(Box::new(plan))))
    }

    /// A model's files and tokenizer; `key` is what names the source.
    fn open(
        &self,
        spec: &ModelSpec,
        key: &'static str,
        given: &Spanned<String>,
    ) -> Result<(ModelFiles, Arc<Tokenizer>), Vec<Problem>> {
        let failed = |error: String| vec![problem(spec, key, given.span, error)];
        let folder = self.sources.file(given.span.file).folder();
        let source: Source = given.value.parse().map_err(|e| {
            let e: motet_models::SourceError = e;
            failed(e.to_string())
        })?;
        let source = source.resolve(folder);
        if let Some(opened) = self.opened.borrow().get(&source) {
            return Ok(opened.clone());
        }
        let files = ModelFiles::open(&source).map_err(|e| failed(e.to_string()))?;
        let tokenizer = Tokenizer::load(&files).map_err(|e| failed(e.to_string()))?;
        let opened = (files, Arc::new(tokenizer));
        self.opened.borrow_mut().insert(source, opened.clone());
        Ok(opened)
    }
}

/// A value that is a word of the models crate; its default where the key is not there.
fn parse<T>(
    spec: &ModelSpec,
    key: &'static str,
    given: Option<&Spanned<String>>,
    problems: &mut Vec<Problem>,
) -> Option<T>
where
    T: Default + std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let Some(given) = given else {
        return Some(T::default());
    };
    match given.value.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            problems.push(problem(spec, key, given.span, T::Err::to_string(&error)));
            None
        }
    }
}

fn problem(spec: &ModelSpec, key: &'static str, span: config::Span, message: String) -> Problem {
    Problem {
        model: spec.name.value.clone(),
        key,
        span,
        message,
    }
}
