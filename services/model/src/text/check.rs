//! A model with an encoder: its keys against its files.

use std::sync::Arc;

use motet_config::Spanned;
use motet_models::{DeviceSpec, EngineSpec, ModelFiles, Precision, TextRole, Tokenizer};
use motet_proto::signature::Signature;

use super::call_settings::{CallDefaults, PROMPT_BYTES_MAX, Prompt, Truncate, max_tokens_range};
use super::keys::{NonEmpty, TextKeys};
use super::model_tasks::{ModelTask, ModelTasks};
use super::{TaskError, TaskSettings, TextKind};
use crate::task::{CheckContext, Problem};

/// A model with weights that was checked.
#[derive(Clone, Debug)]
pub(crate) struct CheckedText {
    pub(super) tasks: ModelTasks,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) files: ModelFiles,
    pub(super) device: DeviceSpec,
    pub(super) engine: EngineSpec,
    pub(super) precision: Precision,
    /// Settings of a call that says nothing else.
    pub(super) defaults: CallDefaults,
}

/// The files of a model, and its tokenizer.
type Opened = (ModelFiles, Arc<Tokenizer>);

/// Checks the keys of a model against its files. Returns its ports and parameters.
///
/// # Errors
/// Every mistake.
pub(super) fn check(
    keys: &TextKeys,
    context: &CheckContext<'_>,
) -> Result<(Signature, CheckedText), Vec<Problem>> {
    let mut problems = Vec::new();
    let engine = engine(keys.engine.as_ref(), context, &mut problems);
    let adapter = keys
        .adapter
        .clone()
        .map(|adapter| adapter.map(|text| text.0));
    let opened = match context.source() {
        Some(source) => context
            .adapted_text_model(source, adapter.as_ref())
            .map_err(Some),
        // The reader of the configuration reports that it is missing.
        None => Err(None),
    };
    let opened = opened.map_err(|problem| problems.extend(problem)).ok();
    let max_tokens = opened
        .as_ref()
        .and_then(|opened| max_tokens(keys, context, opened, &mut problems));
    let prompt = opened
        .as_ref()
        .zip(max_tokens)
        .and_then(|(opened, limit)| prompt(keys, context, opened, limit, &mut problems));
    let (Some((device, engine)), Some((files, tokenizer)), Some(max_tokens), Some(prompt), []) =
        (engine, opened, max_tokens, prompt, &problems[..])
    else {
        return Err(problems);
    };
    let tasks = tasks(keys, context, &files)?;
    let config = files.config();
    let side = Truncate::Cut(config.truncation_side);
    let role = keys.prompt_name.as_ref();
    let defaults = CallDefaults {
        max_tokens,
        truncate: keys.truncate.map_or(side, |truncate| truncate.value.0),
        prompt,
        role: role.map_or(TextRole::default(), |name| {
            TextRole::of_prompt(&name.value.0)
        }),
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
    if let Some((output, size)) = tasks.vectors() {
        let parameters = defaults.vector_parameters(output, size);
        signature.parameters.extend(parameters);
    }
    let checked = CheckedText {
        tasks,
        tokenizer,
        files,
        device,
        engine,
        precision: context.precision(),
        defaults,
    };
    Ok((signature, checked))
}

/// Returns the tasks of the model, for which its files must have what they need.
fn tasks(
    keys: &TextKeys,
    context: &CheckContext<'_>,
    files: &ModelFiles,
) -> Result<ModelTasks, Vec<Problem>> {
    let settings = TaskSettings {
        pooling: keys.pooling.map(|pooling| pooling.map(|word| word.0)),
        normalize: keys.normalize,
        output_dtype: keys.output_dtype.map(|dtype| dtype.map(|word| word.0)),
        label: keys.label.clone().map(|label| label.map(|text| text.0)),
        pair: keys.pair.unwrap_or_default(),
        aggregation: keys.aggregation.map(|word| word.0),
        hypothesis_template: keys.hypothesis_template.clone().map(|it| it.0),
        multi_label: keys.multi_label.unwrap_or_default(),
    };
    let names = context.tasks().iter().map(|task| task.value.name());
    let kinds: Vec<&TextKind> = names.filter_map(TextKind::find).collect();
    let hidden = files.config().hidden_size();
    let task = |kind: &&TextKind| {
        let built = (kind.build)(files, &settings)?;
        files.check(&built.head)?;
        Ok(ModelTask::new(kind, built, hidden, kinds.len() == 1))
    };
    let tasks = kinds.iter().map(task).collect::<Result<Vec<_>, _>>();
    let tasks = tasks.map_err(|error| vec![problem(context, error)])?;
    Ok(ModelTasks::new(tasks))
}

/// Returns the problem of a model that cannot have its task.
fn problem(context: &CheckContext<'_>, error: TaskError) -> Problem {
    match error {
        TaskError::Setting { key, span, message } => context.problem(key, span, message),
        TaskError::Model(error) => context.source_problem(error.to_string()),
    }
}

/// Returns the device and the engine, if they go together.
pub(crate) fn engine(
    written: Option<&Spanned<NonEmpty>>,
    context: &CheckContext<'_>,
    problems: &mut Vec<Problem>,
) -> Option<(DeviceSpec, EngineSpec)> {
    let device = context.device();
    let Some(written) = written else {
        let engine = EngineSpec::default();
        return Some((engine.device(device), engine));
    };
    let mut report = |message: String| {
        problems.push(context.problem("engine", written.span, message));
        None
    };
    let engine: EngineSpec = match written.value.0.parse() {
        Ok(engine) => engine,
        Err(error) => {
            let error: motet_models::EngineError = error;
            return report(error.to_string());
        }
    };
    match engine.check(device, context.precision()) {
        Ok(()) => Some((engine.device(device), engine)),
        Err(error) => report(error.to_string()),
    }
}

/// Returns the longest row, special tokens included: the model's own limit or a lower one of the
/// configuration.
fn max_tokens(
    keys: &TextKeys,
    context: &CheckContext<'_>,
    (files, tokenizer): &Opened,
    problems: &mut Vec<Problem>,
) -> Option<usize> {
    let range = max_tokens_range(tokenizer, files.config().max_tokens);
    match keys.max_tokens {
        None => Some(*range.end()),
        Some(limit) if range.contains(&limit.value.0) => Some(limit.value.0),
        Some(limit) => {
            let message = format!(
                "`max_tokens` is {}, but this model takes between {} and {} tokens in a row",
                limit.value.0,
                range.start(),
                range.end()
            );
            problems.push(context.problem("max_tokens", limit.span, message));
            None
        }
    }
}

/// Returns the prompt of a call that gives none: that of the configuration, or the default of the
/// model's files.
fn prompt(
    keys: &TextKeys,
    context: &CheckContext<'_>,
    (files, tokenizer): &Opened,
    max_tokens: usize,
    problems: &mut Vec<Problem>,
) -> Option<Prompt> {
    let prompts = &files.config().prompts;
    // Its prompt stands before the query.
    let is_reranker = context
        .tasks()
        .iter()
        .any(|task| task.value.name() == "rerank");
    let source = context.source().map(|source| ("source", source.span));
    let (key, span) = match (&keys.prompt_name, &keys.prompt) {
        (Some(Spanned { span, .. }), _) => ("prompt_name", *span),
        (None, Some(prompt)) => ("prompt", prompt.span),
        (None, None) => source?,
    };
    let found = match (&keys.prompt_name, &keys.prompt) {
        (Some(_), Some(_)) => Err("`prompt` and `prompt_name` are both given; keep one".to_owned()),
        (Some(name), None) => prompts.named(&name.value.0).map_err(|e| e.to_string()),
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
    let problem = |message| problems.push(context.problem(key, span, message));
    prompt.map_err(problem).ok()
}
