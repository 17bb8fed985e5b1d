//! `nodes:`: what runs, on what, and what happens when it fails.

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Node, Spanned, values};

use super::condition::condition;
use super::kind::kind;
use super::literal::{is_reference, literal};
use super::parse::within;
use super::reference::reference;
use super::{ARGUMENTS_MAX, Named, NodeSpec, OnErrorSpec, Value};
use crate::call::PolicySpecs;

/// Reads the node `name` from its map.
pub(super) fn node(name: &Spanned<String>, node: &Node, diagnostics: &mut Diagnostics) -> NodeSpec {
    let mut spec = NodeSpec {
        name: name.clone(),
        kind: None,
        inputs: Vec::new(),
        inputs_span: name.span,
        unreadable: false,
        settings: Vec::new(),
        policies: PolicySpecs::default(),
        on_error: None,
        when: None,
    };
    let what = format!("node `{}`", motet_config::truncated(&name.value));
    let Some(mut map) = MapReader::new(node, &*what, name.span, diagnostics) else {
        return spec;
    };
    spec.kind = kind(&mut map, name, &what, diagnostics);
    let kind = spec.kind.as_ref();
    if kind.is_none_or(|kind| kind.value.syntax().has_arguments()) {
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
    }
    spec.policies = PolicySpecs::read(&mut map, diagnostics);
    spec.on_error = map.get("on_error").and_then(|e| on_error(e, diagnostics));
    if let Some(entry) = map.get("when") {
        spec.when = condition(entry, diagnostics);
        spec.unreadable |= spec.when.is_none();
    }
    map.finish(diagnostics);
    spec
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

pub(crate) fn value(node: &Node, name: &str, diagnostics: &mut Diagnostics) -> Value {
    if is_reference(node) {
        return match reference(node, diagnostics) {
            Some(reference) => Value::Reference(reference.value),
            None => Value::Broken,
        };
    }
    let what = format!("`{}`", motet_config::truncated(name));
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
