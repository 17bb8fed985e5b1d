//! One model of a configuration.

use std::ops::RangeInclusive;

use motet_config::values::{boolean, count, non_empty, string, word};
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned, list_of, truncated};
use motet_models::{Aggregation, Pooling};
use motet_runtime::config::{Endpoint, ErrorWords, NameRule};

use super::batcher::{self, BatcherSpec};
use super::check_keys::check_keys;
use crate::task::{HypothesisTemplate, TASKS, TaskKind, Truncate};

/// A model of a configuration. Only the form of its values has been checked:
/// [`Resolver`](crate::Resolver) checks them against the model's files and this binary.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// Name, `[a-z][a-z0-9_-]*`, with `@version` where the model has several.
    pub name: Spanned<String>,
    /// Tasks, in the order of the file. There is one whenever a process can run the model from this
    /// file.
    pub tasks: Vec<Spanned<&'static TaskKind>>,
    /// Source of the weights, such as `builtin:all-minilm-l6-v2`.
    pub source: Option<Spanned<String>>,
    /// Tokenizer that a model for `preprocess` counts tokens with.
    pub tokenizer: Option<Spanned<TokenizerSpec>>,
    /// Endpoint where a process that does not run the model reaches it.
    pub endpoint: Option<Spanned<Endpoint>>,
    /// Visibility of the words of errors of the server at the endpoint.
    pub errors: Option<Spanned<ErrorWords>>,
    /// Device; `None` is `auto`.
    pub device: Option<Spanned<String>>,
    /// Engine; `None` is `auto`.
    pub engine: Option<Spanned<String>>,
    /// Number format of the computation; `None` is `f32`.
    pub dtype: Option<Spanned<String>>,
    /// Threads that compute a batch on a CPU; `None` is a share of the cores that the process may
    /// use.
    pub threads: Option<Spanned<usize>>,
    /// Most tokens of a row; `None` is the limit of the model itself.
    pub max_tokens: Option<Spanned<usize>>,
    /// Treatment of longer texts; `None` is to cut them, on the side that the model's files say.
    pub truncate: Option<Spanned<Truncate>>,
    /// Name of the prompt before each text; `None` is the default prompt of the model's files.
    pub prompt_name: Option<Spanned<String>>,
    /// Text of the prompt before each text, instead of `prompt_name`; may be empty for none.
    pub prompt: Option<Spanned<String>>,
    /// Pooling of token vectors; `None` is that of the model's files.
    pub pooling: Option<Spanned<Pooling>>,
    /// Scaling of vectors to length 1; `None` is that of the model's files.
    pub normalize: Option<Spanned<bool>>,
    /// Label whose score is that of a text, for a reranker with several.
    pub label: Option<Spanned<String>>,
    /// `true` if each text to classify comes with a second one.
    pub pair: Option<Spanned<bool>>,
    /// Making of spans of labels of tokens; `None` is `simple`.
    pub aggregation: Option<Spanned<Aggregation>>,
    /// Template of the hypotheses that labels make; `None` is `This example is {}.`
    pub hypothesis_template: Option<Spanned<HypothesisTemplate>>,
    /// `true` if several of the caller's labels may fit a text.
    pub multi_label: Option<Spanned<bool>>,
    /// Batching of the rows of different callers.
    pub batcher: BatcherSpec,
}

impl ModelSpec {
    /// Returns whether a process can run the model from this file alone.
    pub const fn is_local(&self) -> bool {
        !self.tasks.is_empty()
    }
}

/// The tokenizer of a model for `preprocess`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerSpec {
    /// That of another model of the file.
    Model(String),
    /// That of a source, as in [`ModelSpec::source`].
    Source(String),
}

/// Tasks that are planned, and that this version does not have.
const PLANNED_TASKS: [&str; 3] = ["generate", "detect", "embed_image"];

/// Range of the key `max_tokens`. The model itself has a limit, too.
pub(super) const MAX_TOKENS: RangeInclusive<usize> = 2..=1 << 20;

/// Range of the key `threads`.
pub(super) const THREADS: RangeInclusive<usize> = 1..=1024;

/// Reads one model.
pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<ModelSpec> {
    NameRule::Model.check("a model", &entry.key, diagnostics);
    let what = format!("model `{}`", truncated(&entry.key.value));
    let mut map = MapReader::new(&entry.node, &*what, entry.key.span, diagnostics)?;
    let tasks = tasks(&mut map, diagnostics);
    let spec = ModelSpec {
        name: entry.key.clone(),
        tasks,
        source: map.get("source").and_then(|e| non_empty(e, diagnostics)),
        tokenizer: map.get("tokenizer").and_then(|e| tokenizer(e, diagnostics)),
        endpoint: map.get("endpoint").and_then(|e| endpoint(e, diagnostics)),
        errors: map
            .get("errors")
            .and_then(|e| word(e, &ErrorWords::WORDS, diagnostics)),
        device: map.get("device").and_then(|e| non_empty(e, diagnostics)),
        engine: map.get("engine").and_then(|e| non_empty(e, diagnostics)),
        dtype: map.get("dtype").and_then(|e| non_empty(e, diagnostics)),
        threads: map
            .get("threads")
            .and_then(|e| count(e, THREADS, diagnostics)),
        max_tokens: map
            .get("max_tokens")
            .and_then(|e| count(e, MAX_TOKENS, diagnostics)),
        truncate: map
            .get("truncate")
            .and_then(|e| word(e, &Truncate::WORDS, diagnostics)),
        prompt_name: map
            .get("prompt_name")
            .and_then(|e| non_empty(e, diagnostics)),
        prompt: map.get("prompt").and_then(|e| string(e, diagnostics)),
        pooling: map
            .get("pooling")
            .and_then(|e| word(e, &Pooling::NAMES, diagnostics)),
        normalize: map.get("normalize").and_then(|e| boolean(e, diagnostics)),
        label: map.get("label").and_then(|e| non_empty(e, diagnostics)),
        pair: map.get("pair").and_then(|e| boolean(e, diagnostics)),
        aggregation: map
            .get("aggregation")
            .and_then(|e| word(e, &Aggregation::WORDS, diagnostics)),
        hypothesis_template: map
            .get("hypothesis_template")
            .and_then(|e| hypothesis_template(e, diagnostics)),
        multi_label: map.get("multi_label").and_then(|e| boolean(e, diagnostics)),
        batcher: map
            .get("batcher")
            .map(|e| batcher::read(e, diagnostics))
            .unwrap_or_default(),
    };
    map.finish(diagnostics);
    check_keys(entry, &spec.tasks, diagnostics);
    Some(spec)
}

/// Reads the key `task` with one task, or `tasks` with several of one model.
fn tasks(map: &mut MapReader, diagnostics: &mut Diagnostics) -> Vec<Spanned<&'static TaskKind>> {
    let (one, several) = (map.get("task"), map.get("tasks"));
    match (one, several) {
        (one, None) => one.and_then(|e| task(e, diagnostics)).into_iter().collect(),
        (None, Some(several)) => list_of_tasks(several, diagnostics),
        (Some(_), Some(several)) => {
            let message = "`task` and `tasks` are both given; keep one";
            diagnostics.push(Diagnostic::error(several.key.span, message));
            Vec::new()
        }
    }
}

fn list_of_tasks(entry: &Entry, diagnostics: &mut Diagnostics) -> Vec<Spanned<&'static TaskKind>> {
    let combined: Vec<(&str, &TaskKind)> = TASKS
        .iter()
        .filter(|task| task.has_room_for_others())
        .map(|task| (task.name, task))
        .collect();
    let items = entry.node.as_list().unwrap_or_default();
    if items.len() < 2 {
        let names: Vec<&str> = combined.iter().map(|(name, _)| *name).collect();
        let message = format!("`tasks` is a list of two or more of {}", list_of(&names));
        let help = "a model with one task has it under `task`";
        diagnostics.push(Diagnostic::error(entry.node.span, message).help(help));
        return Vec::new();
    }
    let mut tasks: Vec<Spanned<&'static TaskKind>> = Vec::new();
    for item in items {
        let item = Entry {
            key: entry.key.clone(),
            node: item.clone(),
        };
        let Some(task) = word(&item, &combined, diagnostics) else {
            return Vec::new();
        };
        if let Some(first) = tasks
            .iter()
            .find(|other| other.value.name == task.value.name)
        {
            let message = format!("`{}` is in the list twice", task.value.name);
            let twice = Diagnostic::error(task.span, message).also(first.span, "the first");
            diagnostics.push(twice);
            return Vec::new();
        }
        tasks.push(task);
    }
    tasks
}

fn task(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<&'static TaskKind>> {
    let planned = entry.node.as_str().filter(|t| PLANNED_TASKS.contains(t));
    if let Some(text) = planned {
        let message = format!("the task `{text}` is not supported yet by this version of motet");
        diagnostics.push(Diagnostic::error(entry.node.span, message));
        return None;
    }
    let words: Vec<(&str, &TaskKind)> = TASKS.iter().map(|task| (task.name, task)).collect();
    word(entry, &words, diagnostics)
}

/// Reads the name of a model, or a source, which has a colon.
fn tokenizer(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<TokenizerSpec>> {
    let text = non_empty(entry, diagnostics)?;
    Some(text.map(|text| {
        if text.contains(':') {
            TokenizerSpec::Source(text)
        } else {
            TokenizerSpec::Model(text)
        }
    }))
}

fn hypothesis_template(
    entry: &Entry,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<HypothesisTemplate>> {
    let text = string(entry, diagnostics)?;
    match HypothesisTemplate::parse(&text.value) {
        Ok(template) => Some(Spanned::new(template, text.span)),
        Err(error) => {
            let message = format!("`hypothesis_template` {error}");
            diagnostics.push(Diagnostic::error(text.span, message));
            None
        }
    }
}

fn endpoint(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<Endpoint>> {
    let text = string(entry, diagnostics)?;
    match Endpoint::parse(&text.value) {
        Ok(endpoint) => Some(Spanned::new(endpoint, text.span)),
        Err(error) => {
            diagnostics.push(Diagnostic::error(text.span, format!("`endpoint` {error}")));
            None
        }
    }
}
