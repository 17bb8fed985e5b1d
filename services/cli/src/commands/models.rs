//! `motet models`: what is known of each model of a configuration before it is loaded.

use std::path::PathBuf;

use motet_hub::bytes;
use motet_proto::signature::{Port, Signature};
use motet_runtime::limits::free_memory;
use motet_service::task::Facts;
use motet_service::{ResolvedModel, Tasks};
use serde_json::{Value, json};

use crate::args::ModelsArgs;
use crate::configuration::{Configuration, ResolvedModels};
use crate::output;
use crate::table::table;

/// The most names of tensors that are listed.
const UNUSED_LISTED_MAX: usize = 4;

/// A model, as it is shown.
struct Described {
    name: String,
    tasks: Vec<&'static str>,
    source: Option<String>,
    commit: Option<String>,
    folder: Option<PathBuf>,
    endpoint: Option<String>,
    state: State,
}

/// State of a model: ready to run here, or the reason against it.
enum State {
    Ready(Box<Facts>, Signature),
    /// Its files are not on this machine, or have a mistake.
    Not(String),
    /// It runs elsewhere.
    Elsewhere,
}

pub(super) fn run(args: ModelsArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let mut configuration = Configuration::read(&args.files.files()?, tasks)?;
    let hub = configuration.hub();
    let resolved = configuration.resolve_models(&hub, |model| model.is_local());
    let described = describe(&configuration, &resolved);
    output::print(&match args.json {
        true => {
            let models: Vec<Value> = described.iter().map(as_json).collect();
            format!(
                "{}\n",
                serde_json::to_string_pretty(&json!({ "models": models }))?
            )
        }
        false => as_text(&described),
    })?;
    configuration.ok()?;
    Ok(())
}

fn describe(configuration: &Configuration, resolved: &ResolvedModels) -> Vec<Described> {
    let state = |name: &str, is_local: bool| {
        let found = resolved.models.iter().find(|model| model.name() == name);
        match found {
            Some(model) => state_of(model),
            None if !is_local => State::Elsewhere,
            None => {
                let absent = resolved
                    .absent
                    .iter()
                    .find(|problem| &*problem.model == name);
                let why = absent.map(|problem| {
                    let help = problem.help.as_deref().unwrap_or_default();
                    format!("{}: {help}", problem.message)
                });
                State::Not(why.unwrap_or_else(|| "it has mistakes, which follow".to_owned()))
            }
        }
    };
    let models = configuration.served_models();
    let describe = |spec: &motet_service::spec::ModelSpec| {
        let source = spec.source.as_ref().map(|source| source.value.clone());
        let used = source.as_deref().and_then(|source| {
            let name = source.strip_prefix("hf:")?;
            resolved
                .repositories
                .iter()
                .find(|used| used.written == name)
        });
        let snapshot = used.and_then(|used| used.snapshot.as_ref());
        Described {
            name: spec.name.value.clone(),
            tasks: spec.tasks.iter().map(|task| task.value.name()).collect(),
            commit: snapshot.map(|snapshot| snapshot.commit.clone()),
            folder: snapshot.map(|snapshot| snapshot.folder.clone()),
            endpoint: spec
                .endpoint
                .as_ref()
                .map(|endpoint| endpoint.value.to_string()),
            state: state(&spec.name.value, spec.is_local()),
            source,
        }
    };
    models.map(describe).collect()
}

fn state_of(model: &ResolvedModel) -> State {
    match model.facts() {
        Ok(facts) => State::Ready(Box::new(facts), model.signature().clone()),
        Err(error) => State::Not(error.to_string()),
    }
}

fn as_json(model: &Described) -> Value {
    let mut value = json!({
        "name": model.name,
        "tasks": model.tasks,
        "source": model.source,
        "commit": model.commit,
        "folder": model.folder,
        "endpoint": model.endpoint,
    });
    match &model.state {
        State::Ready(facts, signature) => {
            value["state"] = json!("ready");
            value["facts"] = json!(facts);
            value["signature"] = json!(signature);
        }
        State::Not(why) => {
            value["state"] = json!("unavailable");
            value["reason"] = json!(why);
        }
        State::Elsewhere => value["state"] = json!("elsewhere"),
    }
    value
}

fn as_text(models: &[Described]) -> String {
    let mut text = String::new();
    let mut memory = 0;
    for model in models {
        text.push_str(&format!("{}\n{}\n", model.name, table(&rows(model), 2)));
        if let State::Ready(facts, _) = &model.state {
            memory += facts.memory_bytes.unwrap_or_default();
        }
    }
    if memory > 0 {
        text.push_str(&format!(
            "All weights together take about {}; less where models share a source. A process may \
             take {} here now.\n",
            bytes(memory),
            bytes(free_memory(None))
        ));
    }
    text
}

/// Returns what is shown of a model, line by line.
fn rows(model: &Described) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |title: &str, text: String| {
        if !text.is_empty() {
            rows.push(vec![title.to_owned(), text]);
        }
    };
    row("task", model.tasks.join(", "));
    let commit = model.commit.as_ref().map(|commit| format!(" at {commit}"));
    let source = model.source.clone().unwrap_or_default();
    row("source", format!("{source}{}", commit.unwrap_or_default()));
    row("endpoint", model.endpoint.clone().unwrap_or_default());
    let (facts, signature) = match &model.state {
        State::Ready(facts, signature) => (facts, signature),
        State::Not(why) => {
            row("state", why.clone());
            return rows;
        }
        State::Elsewhere => return rows,
    };
    row("family", facts.family.clone().unwrap_or_default());
    if let Some(parameters) = facts.parameters {
        let stored: Vec<String> = facts.stored.keys().cloned().collect();
        row(
            "parameters",
            format!("{}, stored as {}", count(parameters), stored.join(", ")),
        );
    }
    let reason = facts.engine_reason.as_ref();
    let reason = reason.map(|reason| format!(" (auto: {reason})"));
    let reason = reason.unwrap_or_default();
    let engine = facts.engine.as_ref();
    let engine = engine.map(|engine| format!("{engine}{reason}"));
    let runs = [
        ("on ", &facts.device),
        ("by the engine ", &engine),
        ("in ", &facts.dtype),
    ];
    let runs = runs
        .iter()
        .filter_map(|(word, value)| Some(format!("{word}{}", value.as_ref()?)));
    row("runs", runs.collect::<Vec<_>>().join(", "));
    row(
        "memory",
        facts
            .memory_bytes
            .map(|size| format!("about {}", bytes(size)))
            .unwrap_or_default(),
    );
    let limits = facts
        .limits
        .iter()
        .map(|(name, limit)| format!("{name} {limit}"));
    row("limits", limits.collect::<Vec<_>>().join(", "));
    let ports = |ports: &[Port]| {
        let port = |port: &Port| format!("{}: {}", port.name, port.ty);
        ports.iter().map(port).collect::<Vec<_>>().join(", ")
    };
    row("takes", ports(&signature.inputs));
    row("gives", ports(&signature.outputs));
    let settings = signature
        .parameters
        .iter()
        .map(|parameter| parameter.name.as_str());
    row("settings", settings.collect::<Vec<_>>().join(", "));
    row("unused", unused(&facts.unused_weights));
    for guess in &facts.guesses {
        row("guess", guess.clone());
    }
    rows
}

fn unused(names: &[String]) -> String {
    let (listed, rest) = names.split_at(names.len().min(UNUSED_LISTED_MAX));
    match (names.len(), rest.len()) {
        (0, _) => String::new(),
        (1, _) => format!("1 tensor: {}", listed.join(", ")),
        (all, 0) => format!("{all} tensors: {}", listed.join(", ")),
        (all, rest) => format!("{all} tensors: {} and {rest} more", listed.join(", ")),
    }
}

/// Returns a number for people.
fn count(number: u64) -> String {
    match number {
        0..1_000_000 => number.to_string(),
        1_000_000..1_000_000_000 => format!("{:.1} million", number as f64 / 1e6),
        _ => format!("{:.2} billion", number as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists_are_short() {
        for (number, expected) in [
            (999_999, "999999"),
            (22_565_376, "22.6 million"),
            (1_543_000_000, "1.54 billion"),
        ] {
            assert_eq!(count(number), expected);
        }
        let names = ["a", "b", "c", "d", "e", "f"].map(str::to_owned);
        assert_eq!(unused(&names), "6 tensors: a, b, c, d and 2 more");
        assert_eq!(unused(&names[..2]), "2 tensors: a, b");
        assert_eq!(unused(&names[..1]), "1 tensor: a");
        assert_eq!(unused(&[]), "");
    }
}
