//! `models:`: each model once, by name: what it does, where its weights are, or where it runs.

use super::batcher::{self, BatcherSpec};
use super::endpoint::Endpoint;
use super::names::NameRule;
use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Spanned, Value, list_of, truncated,
    values::{boolean, count, non_empty, string, word},
};

/// One model. What a key may say beyond its form (whether a folder exists, whether a device is
/// there) is for the model service to check, at the place that each value keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The name, `[a-z][a-z0-9_-]*`, with `@version` where there are several.
    pub name: Spanned<String>,
    /// What the model does. There whenever a process of this file can run it.
    pub task: Option<Spanned<Task>>,
    /// Where the weights come from, such as `builtin:all-minilm-l6-v2`.
    pub source: Option<Spanned<String>>,
    /// For [`Task::Preprocess`]: whose tokens are counted.
    pub tokenizer: Option<Spanned<TokenizerSpec>>,
    /// Where a process that does not run the model reaches it.
    pub endpoint: Option<Spanned<Endpoint>>,
    /// The device; `None` is `auto`.
    pub device: Option<Spanned<String>>,
    /// The number format of the computation; `None` is `f32`.
    pub dtype: Option<Spanned<String>>,
    /// How many threads compute a batch on a CPU; `None` is as many as the process may use.
    pub threads: Option<Spanned<usize>>,
    /// The most tokens of one row, at most what the model itself allows.
    pub max_tokens: Option<Spanned<usize>>,
    /// How token vectors become one; `None` is what the model's own files say.
    pub pooling: Option<Spanned<Pooling>>,
    /// Whether vectors are scaled to length 1; `None` is what the model's own files say.
    pub normalize: Option<Spanned<bool>>,
    /// How rows of different callers are put together.
    pub batcher: BatcherSpec,
}

impl ModelSpec {
    /// Whether a process can run the model from this file alone.
    pub const fn is_local(&self) -> bool {
        self.task.is_some()
    }
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Clean text and split it into chunks by tokens.
    Preprocess,
    /// One vector for each text.
    Embed,
    /// One vector for each token.
    EmbedTokens,
    /// A score for each text against a query.
    Rerank,
}

impl Task {
    /// Every task with its word.
    pub const ALL: [(&'static str, Self); 4] = [
        ("preprocess", Self::Preprocess),
        ("embed", Self::Embed),
        ("embed_tokens", Self::EmbedTokens),
        ("rerank", Self::Rerank),
    ];

    /// The word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preprocess => "preprocess",
            Self::Embed => "embed",
            Self::EmbedTokens => "embed_tokens",
            Self::Rerank => "rerank",
        }
    }
}

/// Tasks of the design that this version cannot do.
const TASKS_NOT_YET: [&str; 4] = ["classify", "generate", "detect", "embed_image"];

/// Whose tokens a preprocessing model counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenizerSpec {
    /// Those of another model of this file.
    Model(String),
    /// Those of a source, as in [`ModelSpec::source`].
    Source(String),
}

/// How token vectors become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first.
    Cls,
}

const POOLINGS: [(&str, Pooling); 2] = [("mean", Pooling::Mean), ("cls", Pooling::Cls)];

/// The most that `max_tokens` takes.
pub const TOKENS_MAX: usize = 1 << 20;

/// The most that `threads` takes.
const THREADS_MAX: usize = 1024;

/// Keys that a task has no use for.
const NOT_FOR: [(&str, &[Task]); 7] = [
    ("tokenizer", &[Task::Embed, Task::EmbedTokens, Task::Rerank]),
    (
        "pooling",
        &[Task::Preprocess, Task::EmbedTokens, Task::Rerank],
    ),
    ("normalize", &[Task::Preprocess, Task::Rerank]),
    ("max_tokens", &[Task::Preprocess]),
    ("dtype", &[Task::Preprocess]),
    ("device", &[Task::Preprocess]),
    ("threads", &[Task::Preprocess]),
];

/// Keys that say how to run a model here, in the order of documentation.
const LOCAL_KEYS: [&str; 9] = [
    "source",
    "tokenizer",
    "device",
    "dtype",
    "threads",
    "max_tokens",
    "pooling",
    "normalize",
    "batcher",
];

pub(super) fn read_all(entry: &Entry, diagnostics: &mut Diagnostics) -> Vec<ModelSpec> {
    let entries = match &entry.node.value {
        Value::Null => return Vec::new(),
        Value::Map(map) => &map.entries,
        _ => {
            diagnostics.push(
                Diagnostic::error(
                    entry.node.span,
                    format!("`models` must be a map of names and models, not {}", entry.node.kind()),
                )
                .help("write `models: { minilm: { task: embed, source: \"builtin:all-minilm-l6-v2\" } }`"),
            );
            return Vec::new();
        }
    };
    let models: Vec<ModelSpec> = entries
        .iter()
        .filter_map(|e| read(e, diagnostics))
        .collect();
    let names: Vec<&str> = entries.iter().map(|e| e.key.value.as_str()).collect();
    tokenizers(&models, &names, diagnostics);
    models
}

fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<ModelSpec> {
    NameRule::Model.check("a model", &entry.key, diagnostics);
    let what = format!("model `{}`", truncated(&entry.key.value));
    let mut map = MapReader::new(&entry.node, &*what, entry.key.span, diagnostics)?;
    let task_entry = map.get("task");
    let task = task_entry.and_then(|e| task(e, diagnostics));
    let spec = ModelSpec {
        name: entry.key.clone(),
        task,
        source: map.get("source").and_then(|e| non_empty(e, diagnostics)),
        tokenizer: map.get("tokenizer").and_then(|e| {
            let text = non_empty(e, diagnostics)?;
            Some(text.map(|t| {
                if t.contains(':') {
                    TokenizerSpec::Source(t)
                } else {
                    TokenizerSpec::Model(t)
                }
            }))
        }),
        endpoint: map.get("endpoint").and_then(|e| endpoint(e, diagnostics)),
        device: map.get("device").and_then(|e| non_empty(e, diagnostics)),
        dtype: map.get("dtype").and_then(|e| non_empty(e, diagnostics)),
        threads: map
            .get("threads")
            .and_then(|e| count(e, 1..=THREADS_MAX, diagnostics)),
        max_tokens: map
            .get("max_tokens")
            .and_then(|e| count(e, 2..=TOKENS_MAX, diagnostics)),
        pooling: map
            .get("pooling")
            .and_then(|e| word(e, &POOLINGS, diagnostics)),
        normalize: map.get("normalize").and_then(|e| boolean(e, diagnostics)),
        batcher: map
            .get("batcher")
            .map(|e| batcher::read(e, diagnostics))
            .unwrap_or_default(),
    };
    map.finish(diagnostics);
    complete(entry, task, diagnostics);
    Some(spec)
}

/// Whether the keys of a model belong together.
fn complete(entry: &Entry, task: Option<Spanned<Task>>, diagnostics: &mut Diagnostics) {
    let name = truncated(&entry.key.value);
    let Some(map) = entry.node.as_map() else {
        return;
    };
    let has = |key: &str| map.get(key).is_some();
    if !has("task") {
        if let Some(key) = LOCAL_KEYS.into_iter().find_map(|key| map.get(key)) {
            let words: Vec<&str> = Task::ALL.iter().map(|(word, _)| *word).collect();
            diagnostics.push(
                Diagnostic::error(
                    key.key.span,
                    format!("model `{name}` has `{}` but no `task`", key.key.value),
                )
                .help(format!("add `task:` with one of {}", list_of(&words))),
            );
        } else if !has("endpoint") {
            diagnostics.push(
                Diagnostic::error(
                    entry.key.span,
                    format!("model `{name}` needs `task` and `source`, or `endpoint`"),
                )
                .help("`task` and `source` run it here, `endpoint` reaches it elsewhere"),
            );
        }
        return;
    }
    let Some(task) = task else { return };
    match task.value {
        Task::Preprocess if !has("tokenizer") && !has("source") => diagnostics.push(
            Diagnostic::error(entry.key.span, format!("model `{name}` needs `tokenizer`"))
                .label("counts tokens, but whose?")
                .help("name a model of this file, or a source such as `builtin:all-minilm-l6-v2`"),
        ),
        Task::Preprocess if has("tokenizer") && has("source") => {
            if let Some(source) = map.get("source") {
                diagnostics.push(
                    Diagnostic::error(source.key.span, format!("model `{name}` has both `tokenizer` and `source`"))
                        .help("a preprocessing model needs a tokenizer only: keep one of them"),
                );
            }
        }
        Task::Embed | Task::EmbedTokens | Task::Rerank if !has("source") => diagnostics.push(
            Diagnostic::error(entry.key.span, format!("model `{name}` needs `source`"))
                .help("for example `source: \"builtin:all-minilm-l6-v2\"`, or `source: \"file:./weights/my-model\"`"),
        ),
        _ => {}
    }
    for (key, tasks) in NOT_FOR {
        if tasks.contains(&task.value)
            && let Some(found) = map.get(key)
        {
            diagnostics.push(
                Diagnostic::error(
                    found.key.span,
                    format!(
                        "`{key}` has no meaning for the task `{}`",
                        task.value.name()
                    ),
                )
                .also(task.span, "the task"),
            );
        }
    }
}

/// A tokenizer that is named after a model needs that model, with weights of its own.
fn tokenizers(models: &[ModelSpec], names: &[&str], diagnostics: &mut Diagnostics) {
    for model in models {
        let Some(tokenizer) = &model.tokenizer else {
            continue;
        };
        let TokenizerSpec::Model(name) = &tokenizer.value else {
            continue;
        };
        match models.iter().find(|m| m.name.value == *name) {
            Some(other) if other.source.is_some() => {}
            Some(other) => diagnostics.push(
                Diagnostic::error(
                    tokenizer.span,
                    format!(
                        "model `{}` has no `source` to take a tokenizer from",
                        truncated(name)
                    ),
                )
                .also(other.name.span, "declared here"),
            ),
            None if names.contains(&name.as_str()) => {}
            None => diagnostics.push(
                Diagnostic::error(
                    tokenizer.span,
                    format!("no model is named `{}`", truncated(name)),
                )
                .suggest(
                    name,
                    names.iter().copied().filter(|n| *n != model.name.value),
                ),
            ),
        }
    }
}

fn task(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<Task>> {
    if let Some(text) = entry.node.as_str().filter(|t| TASKS_NOT_YET.contains(t)) {
        diagnostics.push(Diagnostic::error(
            entry.node.span,
            format!("the task `{text}` is not supported yet by this version of motet"),
        ));
        return None;
    }
    word(entry, &Task::ALL, diagnostics)
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
