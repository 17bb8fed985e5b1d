//! Keys of a model that do not go together.

use motet_config::{Diagnostic, Diagnostics, Entry, Map, Spanned, list_of, truncated};

use crate::task::{TaskKind, Tasks};

/// Reports keys that a model lacks, and those that have no meaning for its tasks. There are none
/// where the model has none, or where they could not be read.
pub(super) fn check_keys(
    entry: &Entry,
    tasks: &[Spanned<TaskKind>],
    known: &Tasks,
    diagnostics: &mut Diagnostics,
) {
    let Some(map) = entry.node.as_map() else {
        return;
    };
    match tasks {
        [first, ..] => {
            check_source(entry, map, first.value, diagnostics);
            check_meaning(map, tasks, known, diagnostics);
        }
        [] if map.get("task").is_none() && map.get("tasks").is_none() => {
            report_no_task(entry, map, known, diagnostics);
        }
        [] => {}
    }
}

/// Reports a model that has neither a task nor an endpoint, or that has keys of a task.
fn report_no_task(entry: &Entry, map: &Map, known: &Tasks, diagnostics: &mut Diagnostics) {
    let name = truncated(&entry.key.value);
    let of_a_task = |key: &str| known.iter().any(|task| task.has_key(key));
    let found = map.entries.iter().find(|e| of_a_task(&e.key.value));
    if let Some(found) = found {
        let names: Vec<&str> = known.iter().map(|task| task.name()).collect();
        let message = format!("model `{name}` has `{}` but no `task`", found.key.value);
        let help = format!("add `task:` with one of {}", list_of(&names));
        diagnostics.push(Diagnostic::error(found.key.span, message).help(help));
    } else if map.get("endpoint").is_none() {
        let message = format!("model `{name}` needs `task` and `source`, or `endpoint`");
        let help = "`task` and `source` run it here, `endpoint` reaches it elsewhere";
        diagnostics.push(Diagnostic::error(entry.key.span, message).help(help));
    }
}

/// Reports a model without the source that its task needs.
fn check_source(entry: &Entry, map: &Map, task: TaskKind, diagnostics: &mut Diagnostics) {
    if !task.needs_source() || map.get("source").is_some() {
        return;
    }
    let name = truncated(&entry.key.value);
    let message = format!("model `{name}` needs `source`");
    let help = "for example `source: \"builtin:all-minilm-l6-v2\"`, \
                or `source: \"file:./weights/my-model\"`";
    diagnostics.push(Diagnostic::error(entry.key.span, message).help(help));
}

/// Reports keys of other tasks.
fn check_meaning(
    map: &Map,
    tasks: &[Spanned<TaskKind>],
    known: &Tasks,
    diagnostics: &mut Diagnostics,
) {
    for entry in &map.entries {
        let key = entry.key.value.as_str();
        let has_meaning = |task: TaskKind| task.has_key(key);
        if tasks.iter().any(|task| has_meaning(task.value)) || !known.iter().any(has_meaning) {
            continue;
        }
        let names: Vec<&str> = tasks.iter().map(|task| task.value.name()).collect();
        let (of, label) = match names.len() {
            1 => ("task", "the task"),
            _ => ("tasks", "the first of the tasks"),
        };
        let names = names.join("`, `");
        let message = format!("`{key}` has no meaning for the {of} `{names}`");
        let at = tasks.iter().map(|task| task.span).next();
        let mut diagnostic = Diagnostic::error(entry.key.span, message);
        if let Some(at) = at {
            diagnostic = diagnostic.also(at, label);
        }
        diagnostics.push(diagnostic);
    }
}
