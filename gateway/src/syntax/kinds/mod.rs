//! What a node runs: the keys of which each node has exactly one.

mod body;
mod ensemble;
mod grpc;
mod map;
mod split;
mod switch;
mod value;

use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Span, Spanned, Value as Yaml, values,
};
use motet_runtime::config::NameRule;

pub(super) use body::{Name, body};

use super::parse::within;
use super::{ARMS_MAX, BodySpec, KindSpec};

pub(crate) use grpc::MESSAGES_MAX;

/// The keys that say what a node runs.
pub(crate) const KINDS: [&str; 10] = [
    "model", "grpc", "op", "value", "fallback", "switch", "split", "ensemble", "map", "pipeline",
];

/// Reads what the keys of a node say that it runs; `None` where it cannot be told, which is
/// reported.
pub(super) fn kind(
    map: &mut MapReader<'_>,
    name: &Spanned<String>,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<KindSpec>> {
    let found: Vec<&Entry> = KINDS.iter().filter_map(|key| map.get(key)).collect();
    match found.as_slice() {
        [first, second, ..] => diagnostics.push(
            Diagnostic::error(second.key.span, format!("{what} is two kinds at once"))
                .label(format!("and `{}`", second.key.value))
                .also(first.key.span, format!("`{}`", first.key.value))
                .help("keep one, and give the other a node of its own"),
        ),
        [entry] => return read(entry, map, name, diagnostics),
        [] if !KINDS.iter().any(|key| map.has_misspelling_of(key)) => diagnostics.push(
            Diagnostic::error(name.span, format!("{what} does not say what it runs"))
                .help("add `model: NAME` for a model of the configuration, or `op: NAME` for a step inside the gateway"),
        ),
        [] => {}
    }
    None
}

fn read(
    entry: &Entry,
    map: &mut MapReader<'_>,
    name: &Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<KindSpec>> {
    let name = Name(name);
    let kind = match entry.key.value.as_str() {
        "model" => return called(entry, KindSpec::Model, diagnostics),
        "op" => return called(entry, KindSpec::Op, diagnostics),
        "pipeline" => return called(entry, KindSpec::Pipeline, diagnostics),
        "grpc" => {
            let method = grpc::grpc(entry, map, diagnostics)?;
            return Some(method.map(KindSpec::Grpc));
        }
        "value" => KindSpec::Value(value::value(entry, diagnostics)?),
        "fallback" => KindSpec::Fallback(fallback(entry, name, diagnostics)?),
        "switch" => KindSpec::Switch(switch::switch(entry, name, diagnostics)?),
        "split" => KindSpec::Split(split::split(entry, name, diagnostics)?),
        "ensemble" => KindSpec::Ensemble(ensemble::ensemble(entry, name, diagnostics)?),
        _ => KindSpec::Map(map::map(entry, name, diagnostics)?),
    };
    Some(Spanned::new(kind, entry.key.span))
}

/// `model`, `op` and `pipeline`: the name of what is called.
fn called(
    entry: &Entry,
    make: fn(String) -> KindSpec,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<KindSpec>> {
    let what = &entry.key.value;
    let text = values::string(entry, diagnostics)?;
    if text.value.contains('@') && what != "model" {
        diagnostics.push(
            Diagnostic::error(
                text.span,
                format!("`{what}` has no versions to choose from"),
            )
            .note("`name@version` is for models"),
        );
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

fn fallback(entry: &Entry, name: Name<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<BodySpec>> {
    let items = arms(entry, 2, diagnostics)?;
    items
        .iter()
        .zip(1..)
        .map(|(item, i)| body(item, name.arm(i, item.span), diagnostics))
        .collect()
}

/// The items of a list of arms: at least `least`.
fn arms<'n>(
    entry: &'n Entry,
    least: usize,
    diagnostics: &mut Diagnostics,
) -> Option<&'n [motet_config::Node]> {
    let Yaml::List(items) = &entry.node.value else {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!(
                    "`{}` must be a list of arms, not {}",
                    entry.key.value,
                    entry.node.kind()
                ),
            )
            .help("an arm is what a node is, such as `{ model: NAME, in: { ... } }`"),
        );
        return None;
    };
    if items.len() < least {
        let arms = if least == 1 { "arm" } else { "arms" };
        diagnostics.push(Diagnostic::error(
            entry.key.span,
            format!(
                "`{}` needs at least {least} {arms}, but has {}",
                entry.key.value,
                items.len()
            ),
        ));
        return None;
    }
    within("arms", items.len(), ARMS_MAX, entry.key.span, diagnostics);
    Some(&items[..items.len().min(ARMS_MAX)])
}

/// A name that the file gives to a value of its own.
fn own_name(name: &Spanned<String>, what: &str, diagnostics: &mut Diagnostics) {
    NameRule::Identifier.check(what, name, diagnostics);
}

/// A place for the name of an arm: that of the arm itself.
fn named(text: String, span: Span) -> Spanned<String> {
    Spanned::new(text, span)
}
