//! Models with an encoder: a tokenizer and weights behind a batcher.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use motet_batcher::Options;
use motet_config::Spanned;
use motet_models::{
    DeviceError, DeviceSpec, EngineSpec, ModelFiles, Precision, TextRole, Tokenizer,
};
use motet_proto::signature::Signature;

use super::files::Opened;
use super::{Problem, Resolver, batcher_options};
use crate::spec::ModelSpec;
use crate::task::{
    BuildTask, CallDefaults, ModelTask, ModelTasks, PROMPT_BYTES_MAX, Prompt, TaskError, TaskKind,
    TaskSettings, Truncate, max_tokens_range,
};

/// How to load a model that has weights.
#[derive(Clone, Debug)]
pub(crate) struct EncoderModel {
    pub(crate) tasks: ModelTasks,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) files: ModelFiles,
    pub(crate) device: DeviceSpec,
    pub(crate) engine: EngineSpec,
    pub(crate) precision: Precision,
    /// Threads that compute a batch on a CPU; `None` is an equal share of the cores for each
    /// executor.
    pub(crate) threads: Option<usize>,
    /// Settings of a call that says nothing else.
    pub(crate) defaults: CallDefaults,
    pub(crate) options: Options,
    pub(crate) executors: usize,
}

impl Resolver<'_> {
    /// Resolves a model with these tasks, one at least.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub(super) fn resolve_encoder(
        &self,
        spec: &ModelSpec,
        kinds: &[(&'static TaskKind, BuildTask)],
    ) -> Result<(Signature, EncoderModel), Vec<Problem>> {
        let mut problems = Vec::new();
        let compute = compute(spec, &mut problems);
        let opened = match &spec.source {
            Some(source) => self.files.open(spec, "source", source).map_err(Some),
            None => Err(None),
        };
        let opened = opened.map_err(|problem| problems.extend(problem)).ok();
        let max_tokens = opened
            .as_ref()
            .and_then(|opened| max_tokens(spec, opened, &mut problems));
        let prompt = opened
            .as_ref()
            .zip(max_tokens)
            .and_then(|(opened, limit)| prompt(spec, opened, limit, &mut problems));
        let (
            Some((device, engine, precision)),
            Some((files, tokenizer)),
            Some(max_tokens),
            Some(prompt),
            [],
        ) = (compute, opened, max_tokens, prompt, &problems[..])
        else {
            return Err(problems);
        };
        let settings = TaskSettings {
            pooling: spec.pooling,
            normalize: spec.normalize.map(|normalize| normalize.value),
            label: spec.label.clone(),
            pair: spec.pair.is_some_and(|pair| pair.value),
            aggregation: spec.aggregation.map(|aggregation| aggregation.value),
            hypothesis_template: spec.hypothesis_template.as_ref().map(|it| it.value.clone()),
            multi_label: spec
                .multi_label
                .is_some_and(|multi_label| multi_label.value),
        };
        let config = files.config();
        let hidden = config.hidden_size();
        let task = |(kind, build): &(&TaskKind, BuildTask)| {
            let built = build(&files, &settings)?;
            files.check(&built.head)?;
            Ok(ModelTask::new(kind, built, hidden, kinds.len() == 1))
        };
        let tasks = kinds.iter().map(task).collect::<Result<Vec<_>, _>>();
        let tasks = ModelTasks::new(tasks.map_err(|error| vec![problem(spec, error)])?);
        let side = Truncate::Cut(config.truncation_side);
        let role = spec.prompt_name.as_ref();
        let defaults = CallDefaults {
            max_tokens,
            truncate: spec.truncate.map_or(side, |truncate| truncate.value),
            prompt,
            role: role.map_or(TextRole::default(), |name| TextRole::of_prompt(&name.value)),
            normalize: tasks.normalizes(),
        };
        let least = *max_tokens_range(&tokenizer, max_tokens).start();
        let mut signature = tasks.ports();
        signature.parameters = if tasks.first().has_windows() {
            defaults.window_parameters(least)
        } else {
            let prompts = tasks.first().has_prompt(0).then_some(&config.prompts);
            defaults.text_parameters(least, prompts)
        };
        let own = tasks.iter().flat_map(|task| task.task.parameters());
        signature.parameters.extend(own);
        if let Some((size, output)) = tasks.vectors() {
            let parameters = defaults.vector_parameters(size, output);
            signature.parameters.extend(parameters);
        }
        let model = EncoderModel {
            tasks,
            tokenizer,
            files,
            device,
            engine,
            precision,
            threads: spec.threads.map(|threads| threads.value),
            defaults,
            options: batcher_options::options(&spec.batcher, max_tokens),
            executors: spec.batcher.executors,
        };
        Ok((signature, model))
    }
}

/// Returns the problem of a model that cannot have its task.
fn problem(spec: &ModelSpec, error: TaskError) -> Problem {
    match error {
        TaskError::Setting { key, span, message } => Problem::new(spec, key, span, message),
        TaskError::Model(error) => {
            let source = spec.source.as_ref().map(|source| source.span);
            let span = source.unwrap_or(spec.name.span);
            Problem::new(spec, "source", span, error.to_string())
        }
    }
}

/// Returns the device, the engine and the number format, if all can be used and go together.
fn compute(
    spec: &ModelSpec,
    problems: &mut Vec<Problem>,
) -> Option<(DeviceSpec, EngineSpec, Precision)> {
    let device: Option<DeviceSpec> = parse(spec, "device", spec.device.as_ref(), problems);
    let engine: Option<EngineSpec> = parse(spec, "engine", spec.engine.as_ref(), problems);
    let precision: Option<Precision> = parse(spec, "dtype", spec.dtype.as_ref(), problems);
    let message = |checked: Result<(), DeviceError>| checked.err().map(|error| error.to_string());
    let compiled = device.map(DeviceSpec::check_compiled).and_then(message);
    let fits = device
        .zip(precision)
        .map(|(d, p)| p.check(d))
        .and_then(message);
    let computes = device.zip(engine).zip(precision);
    let computes = computes.and_then(|((d, e), p)| e.check(d, p).err());
    let checks = [
        ("device", &spec.device, compiled),
        ("dtype", &spec.dtype, fits),
        (
            "engine",
            &spec.engine,
            computes.map(|error| error.to_string()),
        ),
    ];
    let mut is_usable = true;
    for (key, given, message) in checks {
        if let Some(message) = message {
            is_usable = false;
            let span = given.as_ref().map(|given| given.span);
            problems.extend(span.map(|span| Problem::new(spec, key, span, message)));
        }
    }
    let (device, engine) = device.zip(engine)?;
    let all = (engine.device(device), engine, precision?);
    is_usable.then_some(all)
}

/// Returns the longest row, special tokens included: the model's own limit or a lower one of the
/// configuration.
fn max_tokens(
    spec: &ModelSpec,
    (files, tokenizer): &Opened,
    problems: &mut Vec<Problem>,
) -> Option<usize> {
    let range = max_tokens_range(tokenizer, files.config().max_tokens);
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
            problems.push(Problem::new(spec, "max_tokens", limit.span, message));
            None
        }
    }
}

/// Returns the prompt of a call that gives none: that of the configuration, or the default of the
/// model's files.
fn prompt(
    spec: &ModelSpec,
    (files, tokenizer): &Opened,
    max_tokens: usize,
    problems: &mut Vec<Problem>,
) -> Option<Prompt> {
    let prompts = &files.config().prompts;
    // Its prompt stands before the query.
    let is_reranker = spec.tasks.iter().any(|task| task.value.name == "rerank");
    let source = spec.source.as_ref().map(|source| ("source", source.span));
    let (key, span) = match (&spec.prompt_name, &spec.prompt) {
        (Some(name), _) => ("prompt_name", name.span),
        (None, Some(prompt)) => ("prompt", prompt.span),
        (None, None) => source?,
    };
    let found = match (&spec.prompt_name, &spec.prompt) {
        (Some(_), Some(_)) => Err("`prompt` and `prompt_name` are both given; keep one".to_owned()),
        (Some(name), None) => prompts.named(&name.value).map_err(|e| e.to_string()),
        (None, Some(prompt)) if prompt.value.len() > PROMPT_BYTES_MAX => Err(format!(
            "`prompt` has {} bytes, but a prompt has at most {PROMPT_BYTES_MAX}",
            prompt.value.len()
        )),
        (None, Some(prompt)) => Ok(prompt.value.as_str()),
        (None, None) if tokenizer.has_roles() && is_reranker => {
            Ok(prompts.of_role(TextRole::Query))
        }
        (None, None) => Ok(prompts.default_text()),
    };
    let prompt = found.and_then(|text| {
        let prompt = Prompt::new(text, tokenizer).map_err(|error| error.to_string())?;
        match prompt.fits(max_tokens) {
            true => Ok(prompt),
            false => Err(format!(
                "the prompt has {} tokens with the special ones before it, which leaves no room \
                 for a text in the limit of {max_tokens}",
                prompt.tokens
            )),
        }
    });
    let problem = |message| problems.push(Problem::new(spec, key, span, message));
    prompt.map_err(problem).ok()
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
            problems.push(Problem::new(spec, key, given.span, message));
            None
        }
    }
}
