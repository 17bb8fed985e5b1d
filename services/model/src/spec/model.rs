//! One model of a configuration.

use std::fmt;
use std::ops::RangeInclusive;

use motet_config::values::{count, non_empty, string, word};
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Span, Spanned, list_of, truncated};
use motet_runtime::config::{AccessSpec, Endpoint, ErrorWords, NameRule};

use super::batcher::{self, BatcherSpec};
use super::check_keys::check_keys;
use crate::task::{ReadKeys, TaskKind, Tasks};

/// A model of a configuration. Only the form of its values has been checked:
/// [`Resolver`](crate::Resolver) checks them against the model's files and this binary.
#[derive(Clone)]
pub struct ModelSpec {
    /// Name, `[a-z][a-z0-9_-]*`, with `@version` where the model has several.
    pub name: Spanned<String>,
    /// Place of its keys in the file.
    pub span: Span,
    /// Tasks, in the order of the file. There is one whenever a process can run the model from this
    /// file.
    pub tasks: Vec<Spanned<TaskKind>>,
    /// Source of the files, such as `builtin:all-minilm-l6-v2`.
    pub source: Option<Spanned<String>>,
    /// Endpoint where a process that does not run the model reaches it.
    pub endpoint: Option<Spanned<Endpoint>>,
    /// Visibility of the words of errors of the server at the endpoint.
    pub errors: Option<Spanned<ErrorWords>>,
    /// TLS and headers of connections to the endpoint.
    pub access: AccessSpec,
    /// Device; `None` is `auto`.
    pub device: Option<Spanned<String>>,
    /// Number format of the computation; `None` is `f32`.
    pub dtype: Option<Spanned<String>>,
    /// Threads that compute a batch on a CPU; `None` is a share of the cores that the process may
    /// use.
    pub threads: Option<Spanned<usize>>,
    /// Batching of rows of different callers.
    pub batcher: BatcherSpec,
    /// The keys of the task's own; `None` without a task, or if they could not be read.
    pub(crate) keys: Option<ReadKeys>,
}

impl fmt::Debug for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelSpec")
            .field("name", &self.name.value)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

impl ModelSpec {
    /// Returns whether a process can run the model from this file alone.
    pub const fn is_local(&self) -> bool {
        !self.tasks.is_empty()
    }
}

/// Tasks that are planned, and that this version does not have.
const PLANNED_TASKS: [&str; 3] = ["generate", "detect", "embed_image"];

/// Range of the key `threads`.
pub(super) const THREADS: RangeInclusive<usize> = 1..=1024;

/// Reads one model, whose task is one of `known`.
pub(super) fn read(
    entry: &Entry,
    known: &Tasks,
    diagnostics: &mut Diagnostics,
) -> Option<ModelSpec> {
    NameRule::Model.check("a model", &entry.key, diagnostics);
    let what = format!("model `{}`", truncated(&entry.key.value));
    let mut map = MapReader::new(&entry.node, &*what, entry.key.span, diagnostics)?;
    let tasks = tasks(&mut map, known, diagnostics);
    let spec = ModelSpec {
        name: entry.key.clone(),
        span: entry.node.span,
        source: map.get("source").and_then(|e| non_empty(e, diagnostics)),
        endpoint: map.get("endpoint").and_then(|e| endpoint(e, diagnostics)),
        errors: map
            .get("errors")
            .and_then(|e| word(e, &ErrorWords::WORDS, diagnostics)),
        access: AccessSpec::read(&mut map, diagnostics),
        device: map.get("device").and_then(|e| non_empty(e, diagnostics)),
        dtype: map.get("dtype").and_then(|e| non_empty(e, diagnostics)),
        threads: map
            .get("threads")
            .and_then(|e| count(e, THREADS, diagnostics)),
        batcher: map
            .get("batcher")
            .map(|e| batcher::read(e, diagnostics))
            .unwrap_or_default(),
        keys: match (tasks.first(), entry.node.as_map()) {
            (Some(task), Some(keys)) => {
                let at = entry.key.span;
                task.value.read_keys(keys, &what, at, diagnostics)
            }
            _ => None,
        },
        tasks,
    };
    // Keys of other tasks are known, too: they are told apart from those of none.
    for key in known.iter().flat_map(|task| task.own_keys()) {
        map.get(key);
    }
    map.finish(diagnostics);
    check_keys(entry, &spec.tasks, known, diagnostics);
    Some(spec)
}

/// Reads the key `task` with one task, or `tasks` with several of one model.
fn tasks(
    map: &mut MapReader,
    known: &Tasks,
    diagnostics: &mut Diagnostics,
) -> Vec<Spanned<TaskKind>> {
    let (one, several) = (map.get("task"), map.get("tasks"));
    match (one, several) {
        (one, None) => {
            let task = one.and_then(|e| task(e, known, diagnostics));
            task.into_iter().collect()
        }
        (None, Some(several)) => list_of_tasks(several, known, diagnostics),
        (Some(_), Some(several)) => {
            let message = "`task` and `tasks` are both given; keep one";
            diagnostics.push(Diagnostic::error(several.key.span, message));
            Vec::new()
        }
    }
}

fn list_of_tasks(
    entry: &Entry,
    known: &Tasks,
    diagnostics: &mut Diagnostics,
) -> Vec<Spanned<TaskKind>> {
    let grouped = known.iter().filter(|task| task.group().is_some());
    let grouped: Vec<(&str, TaskKind)> = grouped.map(|task| (task.name(), task)).collect();
    let items = entry.node.as_list().unwrap_or_default();
    if items.len() < 2 {
        let names: Vec<&str> = grouped.iter().map(|(name, _)| *name).collect();
        let message = format!("`tasks` is a list of two or more of {}", list_of(&names));
        let help = "a model with one task has it under `task`";
        diagnostics.push(Diagnostic::error(entry.node.span, message).help(help));
        return Vec::new();
    }
    let mut tasks: Vec<Spanned<TaskKind>> = Vec::new();
    for item in items {
        let item = Entry {
            key: entry.key.clone(),
            node: item.clone(),
        };
        let Some(task) = word(&item, &grouped, diagnostics) else {
            return Vec::new();
        };
        let name = task.value.name();
        let same = tasks.iter().find(|other| other.value.name() == name);
        let message = match (same, tasks.first()) {
            (Some(_), _) => format!("`{name}` is in the list twice"),
            (None, Some(first)) if first.value.group() != task.value.group() => {
                format!(
                    "one model cannot have the tasks `{}` and `{name}`",
                    first.value.name()
                )
            }
            _ => {
                tasks.push(task);
                continue;
            }
        };
        let first = same.or(tasks.first()).map_or(task.span, |first| first.span);
        diagnostics.push(Diagnostic::error(task.span, message).also(first, "the first"));
        return Vec::new();
    }
    tasks
}

fn task(entry: &Entry, known: &Tasks, diagnostics: &mut Diagnostics) -> Option<Spanned<TaskKind>> {
    let planned = entry.node.as_str();
    let planned = planned.filter(|t| PLANNED_TASKS.contains(t) && known.find(t).is_none());
    if let Some(text) = planned {
        let message = format!("the task `{text}` is not supported yet by this version of motet");
        diagnostics.push(Diagnostic::error(entry.node.span, message));
        return None;
    }
    let words: Vec<(&str, TaskKind)> = known.iter().map(|task| (task.name(), task)).collect();
    word(entry, &words, diagnostics)
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
