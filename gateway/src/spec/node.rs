//! `nodes:`: what runs, on what, and what happens when it fails.

use std::time::Duration;

use motet_runtime::config::{
    Diagnostic, Diagnostics, Entry, MapReader, NameRule, Node, Spanned, values,
};

use super::literal::{is_reference, literal};
use super::parse::within;
use super::policy;
use super::reference::reference;
use super::{ARGUMENTS_MAX, KindSpec, Named, NodeSpec, OnErrorSpec, Value};

/// Kinds of nodes that are planned, but that this version cannot run.
const KINDS_NOT_YET: [&str; 8] = [
    "grpc", "map", "switch", "split", "ensemble", "fallback", "pipeline", "value",
];

/// Policies that are planned, but that this version cannot follow.
const POLICIES_NOT_YET: [&str; 2] = ["when", "priority"];

/// The shortest and longest deadline of a node or a pipeline.
pub(super) const DEADLINES: (Duration, Duration) = (Duration::from_millis(1), values::DURATION_MAX);

pub(super) fn node(entry: &Entry, diagnostics: &mut Diagnostics) -> NodeSpec {
    let name = &entry.key;
    let mut spec = NodeSpec {
        name: name.clone(),
        kind: None,
        inputs: Vec::new(),
        inputs_span: name.span,
        unreadable: false,
        settings: Vec::new(),
        deadline: None,
        retry: None,
        hedge: None,
        cache: None,
        on_error: None,
    };
    NameRule::Identifier.check("a node", name, diagnostics);
    let what = format!("node `{}`", motet_runtime::config::shown(&name.value));
    let Some(mut map) = MapReader::new(&entry.node, &*what, name.span, diagnostics) else {
        return spec;
    };
    let model = map.get("model");
    let op = map.get("op");
    let mut not_yet = false;
    for key in KINDS_NOT_YET {
        not_yet |= map.unsupported(key, diagnostics);
    }
    match (model, op) {
        (Some(model), Some(op)) => diagnostics.push(
            Diagnostic::error(op.key.span, format!("{what} is two kinds at once"))
                .label("and `op`")
                .also(model.key.span, "`model`")
                .help("keep one, and give the other a node of its own"),
        ),
        (Some(model), None) if !not_yet => {
            spec.kind = kind(model, "model", KindSpec::Model, diagnostics);
        }
        (None, Some(op)) if !not_yet => spec.kind = kind(op, "op", KindSpec::Op, diagnostics),
        (None, None) if !not_yet && !map.has_slip_of("model") && !map.has_slip_of("op") => diagnostics.push(
            Diagnostic::error(name.span, format!("{what} does not say what it runs"))
                .help("add `model: NAME` for a model of the configuration, or `op: NAME` for a step inside the gateway"),
        ),
        _ => {}
    }
    if let Some(entry) = map.get("in") {
        spec.inputs_span = entry.key.span;
        let inputs = named_values(entry, "in", diagnostics);
        spec.unreadable |= inputs.is_none();
        spec.inputs = inputs.unwrap_or_default();
    }
    if let Some(entry) = map.get("with") {
        let settings = named_values(entry, "with", diagnostics);
        spec.unreadable |= settings.is_none();
        spec.settings = settings.unwrap_or_default();
    }
    spec.deadline = map
        .get("deadline")
        .and_then(|e| policy::limit(e, diagnostics));
    spec.retry = map.get("retry").and_then(|e| policy::retry(e, diagnostics));
    spec.hedge = map.get("hedge").and_then(|e| policy::hedge(e, diagnostics));
    spec.cache = map.get("cache").and_then(|e| policy::cache(e, diagnostics));
    spec.on_error = map.get("on_error").and_then(|e| on_error(e, diagnostics));
    for key in POLICIES_NOT_YET {
        map.unsupported(key, diagnostics);
    }
    if !not_yet {
        map.finish(diagnostics);
    }
    spec
}

fn kind(
    entry: &Entry,
    what: &str,
    make: fn(String) -> KindSpec,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<KindSpec>> {
    let text = values::text(entry, diagnostics)?;
    if text.value.contains('@') {
        diagnostics.push(Diagnostic::error(
            text.span,
            "versions of models (`name@version`) are not supported yet by this version of motet",
        ));
        return None;
    }
    if text.value.starts_with('$') {
        diagnostics.push(
            Diagnostic::error(text.span, format!("`{what}` is a name, not a reference"))
                .help("which model or op a node runs is fixed when the pipeline is loaded"),
        );
        return None;
    }
    Some(text.map(make))
}

/// `in`, `with` and `use`: names with references or literals; `None` where it is no map.
fn named_values(
    entry: &Entry,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Named<Spanned<Value>>>> {
    if entry.node.is_null() {
        return Some(Vec::new());
    }
    let Some(map) = entry.node.as_map() else {
        let mut diagnostic = Diagnostic::error(
            entry.node.span,
            format!(
                "`{what}` must be a map of names and values, not {}",
                entry.node.kind()
            ),
        );
        if is_reference(&entry.node) {
            diagnostic = diagnostic.help(format!(
                "name the port that takes it: `{what}: {{ text: {} }}`",
                entry.node.as_str().unwrap_or_default()
            ));
        }
        diagnostics.push(diagnostic);
        return None;
    };
    within(
        &format!("values in `{what}`"),
        map.entries.len(),
        ARGUMENTS_MAX,
        entry.key.span,
        diagnostics,
    );
    let values = map.entries.iter().take(ARGUMENTS_MAX).map(|e| Named {
        name: e.key.clone(),
        value: Spanned::new(value(&e.node, &e.key.value, diagnostics), e.node.span),
    });
    Some(values.collect())
}

fn value(node: &Node, name: &str, diagnostics: &mut Diagnostics) -> Value {
    if is_reference(node) {
        return match reference(node, diagnostics) {
            Some(reference) => Value::Reference(reference.value),
            None => Value::Broken,
        };
    }
    let what = format!("`{}`", motet_runtime::config::shown(name));
    match literal(node, &what, diagnostics) {
        Some(literal) => Value::Literal(literal),
        None => Value::Broken,
    }
}

fn on_error(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<OnErrorSpec> {
    let mut map = MapReader::new(&entry.node, "`on_error`", entry.key.span, diagnostics)?;
    let substitutes = map
        .required(
            "use",
            "name a value for each output: `use: { score: $other.score }`",
        )
        .and_then(|e| named_values(e, "use", diagnostics));
    let mark = map
        .get("mark")
        .and_then(|e| values::word(e, &[("degraded", ())], diagnostics));
    map.finish(diagnostics);
    Some(OnErrorSpec {
        span: entry.key.span,
        substitutes: substitutes?,
        mark_degraded: mark.is_some(),
    })
}
