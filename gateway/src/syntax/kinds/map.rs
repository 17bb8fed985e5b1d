//! `map`: a step or a graph for each element of a list.

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned, Value as Yaml, values};

use super::{Name, body, own_name};
use crate::syntax::output::only_reference;
use crate::syntax::{ItemError, MapSpec, Named, Reference};

/// The most elements of one `map`.
const MAP_ITEMS_MAX: usize = 65_536;
/// The most elements where the file does not say.
const MAP_ITEMS_DEFAULT: usize = 1024;
/// Elements that run at a time where the file does not say.
const MAP_CONCURRENCY_DEFAULT: usize = 8;
/// The most elements that run at a time.
const MAP_CONCURRENCY_MAX: usize = 1024;
/// The name of an element where the file does not say.
const ELEMENT: &str = "item";

pub(super) fn map(entry: &Entry, name: Name<'_>, diagnostics: &mut Diagnostics) -> Option<MapSpec> {
    let mut map = MapReader::new(&entry.node, "`map`", entry.key.span, diagnostics)?;
    let over = map.required(
        "over",
        "the list to go through, such as `over: $chunks.text`",
    );
    let element = map.get("as");
    let over = over.and_then(|over| columns(over, element, diagnostics));
    let max_items = map
        .get("max_items")
        .and_then(|e| values::count(e, 1..=MAP_ITEMS_MAX, diagnostics));
    let concurrency = map
        .get("concurrency")
        .and_then(|e| values::count(e, 1..=MAP_CONCURRENCY_MAX, diagnostics));
    let on_item_error = map.get("on_item_error").and_then(|e| {
        values::word(
            e,
            &[
                ("fail", ItemError::Fail),
                ("drop", ItemError::Drop),
                ("null", ItemError::Null),
            ],
            diagnostics,
        )
    });
    let step = map.get("do");
    let each = name.each(entry.key.span);
    let body = match step {
        Some(step) => body(&step.node, each, diagnostics),
        None => Some(super::body::graph(&mut map, each, diagnostics)),
    };
    map.finish(diagnostics);
    Some(MapSpec {
        over: over?,
        max_items: max_items.map_or(MAP_ITEMS_DEFAULT, |n| n.value),
        concurrency: concurrency.map_or(MAP_CONCURRENCY_DEFAULT, |n| n.value),
        on_item_error: on_item_error.map_or(ItemError::Fail, |w| w.value),
        body: body?,
    })
}

/// One list under the name of `as`, or several of one length under names of their own.
fn columns(
    over: &Entry,
    element: Option<&Entry>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Named<Spanned<Reference>>>> {
    let Yaml::Map(lists) = &over.node.value else {
        let name = match element {
            Some(element) => {
                let name = values::string(element, diagnostics)?;
                own_name(&name, "an element", diagnostics);
                name
            }
            None => Spanned::new(ELEMENT.to_owned(), over.key.span),
        };
        let value = only_reference(&over.node, "`over`", diagnostics)?;
        return Some(vec![Named { name, value }]);
    };
    if let Some(element) = element {
        diagnostics.push(
            Diagnostic::error(element.key.span, "`as` names the elements of a single list")
                .also(over.key.span, "here each list has a name of its own"),
        );
    }
    if lists.entries.is_empty() {
        diagnostics.push(Diagnostic::error(over.key.span, "`over` names no list"));
        return None;
    }
    lists
        .entries
        .iter()
        .map(|list| {
            own_name(&list.key, "an element", diagnostics);
            Some(Named {
                name: list.key.clone(),
                value: only_reference(&list.node, "`over`", diagnostics)?,
            })
        })
        .collect()
}
