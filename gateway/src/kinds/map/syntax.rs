//! `map`: a step or a graph for each element of a list.

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned, Value as Yaml, values};

use motet_runtime::config::NameRule;

use crate::syntax::body::{self, body};
use crate::syntax::output::only_reference;
use crate::syntax::{BodySpec, KindSyntax, Named, NodeName, ReadKind, Reference, WrittenReference};

/// `map`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The lists, by the names of their elements.
    pub over: Vec<Named<Spanned<Reference>>>,
    /// The most elements.
    pub max_items: usize,
    /// The most elements that run at a time.
    pub concurrency: usize,
    /// Reaction to an element that fails.
    pub on_item_error: ItemError,
    /// The body that runs for each element.
    pub body: BodySpec,
}

/// Reaction of a `map` to an element that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemError {
    /// The node fails.
    Fail,
    /// The element is left out.
    Drop,
    /// The element's results are zero or empty.
    Null,
}

/// The most elements of one `map`.
const MAP_ITEMS_MAX: usize = 65_536;
/// Default of `max_items`.
const MAP_ITEMS_DEFAULT: usize = 1024;
/// Default of `concurrency`.
const MAP_CONCURRENCY_DEFAULT: usize = 8;
/// The most elements that run at a time.
const MAP_CONCURRENCY_MAX: usize = 1024;
/// Default name of an element.
const ELEMENT: &str = "item";

impl ReadKind for Spec {
    fn read(
        entry: &Entry,
        _: &mut MapReader<'_>,
        name: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let spec = map(entry, name, diagnostics)?;
        Some(Spanned::new(spec, entry.key.span))
    }
}

impl KindSyntax for Spec {
    fn bodies(&self) -> Vec<&BodySpec> {
        vec![&self.body]
    }

    fn references(&self) -> Vec<WrittenReference<'_>> {
        let lists = self.over.iter().map(|list| &list.value);
        lists.map(WrittenReference::from).collect()
    }
}

fn map(entry: &Entry, name: NodeName<'_>, diagnostics: &mut Diagnostics) -> Option<Spec> {
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
        None => Some(body::graph(&mut map, each, diagnostics)),
    };
    map.finish(diagnostics);
    Some(Spec {
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
                NameRule::Identifier.check("an element", &name, diagnostics);
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
            NameRule::Identifier.check("an element", &list.key, diagnostics);
            Some(Named {
                name: list.key.clone(),
                value: only_reference(&list.node, "`over`", diagnostics)?,
            })
        })
        .collect()
}
