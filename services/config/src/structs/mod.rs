//! The keys of a map as a struct that implements serde's `Deserialize`: every mistake in one
//! report, each at its place.
//!
//! * `deserializer`: a [`Node`](crate::Node) as serde's deserializer.
//! * `error`: serde's errors in the words of this crate.
//! * `fields`: names of a struct's fields, without a value of it.
//! * `spanned`: [`Spanned`](crate::Spanned) as a field.

mod deserializer;
mod error;
mod fields;
mod spanned;

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use serde::de::DeserializeOwned;

use crate::diagnostics::Diagnostics;
use crate::names::nearest;
use crate::node::Map;
use crate::source::Span;
use deserializer::MapDeserializer;
pub use fields::fields;

/// Reads a struct from those entries of a map whose keys are its [fields](fields()). Other entries
/// are left to whom they belong.
///
/// `what` names the map in messages ("model `m`"); keys that are missing are reported at `at`. All
/// mistakes are added to `diagnostics`: the struct is read again without each key that has one. A
/// message of a type's own (`serde::de::Error::custom`) goes on after the name of the key, such as
/// "is empty" or "must be even".
///
/// ```
/// use motet_config::{Colour, Diagnostics, Sources, parse, structs};
///
/// #[derive(serde::Deserialize)]
/// struct Keys {
///     labels: Vec<String>,
///     #[serde(default)]
///     threshold: f32,
/// }
///
/// let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
/// let text = "labels: [good, 5]\nthreshold: high\n";
/// let file = sources.add("motet.yaml", "", text);
/// let root = parse(&sources, file, &mut diagnostics).expect("a map");
/// let map = root.as_map().expect("a map");
/// assert_eq!(structs::fields::<Keys>(), ["labels", "threshold"]);
/// let keys: Option<Keys> = structs::read(map, "the keys", root.span, &mut diagnostics);
/// assert!(keys.is_none());
/// let report = diagnostics.render(&sources, Colour::Never);
/// assert!(report.contains("`labels[1]` must be a string, not an integer"));
/// assert!(report.contains("`threshold` must be a number, not a string"));
/// ```
pub fn read<T: DeserializeOwned>(
    map: &Map,
    what: &str,
    at: Span,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    let fields = fields::<T>();
    let entries = map.entries.iter();
    let entries = entries.filter(|entry| fields.contains(&entry.key.value.as_str()));
    let mut entries: Vec<_> = entries.collect();
    let mut reported: Vec<&str> = Vec::new();
    loop {
        let unknown = RefCell::new(Vec::new());
        let read = T::deserialize(MapDeserializer {
            entries: &entries,
            report: &|diagnostic| unknown.borrow_mut().push(diagnostic),
        });
        // A struct may be read more than once; an exact repetition is ignored.
        let unknown = unknown.into_inner();
        let has_unknown = !unknown.is_empty();
        unknown
            .into_iter()
            .for_each(|diagnostic| diagnostics.push(diagnostic));
        let error = match read {
            Ok(_) if has_unknown => return None,
            Ok(value) if reported.is_empty() => return Some(value),
            Ok(_) => return None,
            Err(error) => error,
        };
        // A key that is missing because it is misspelt is reported as an unknown one, by whom the
        // others belong to.
        let is_known = |field| {
            let mut keys = map.entries.iter().map(|entry| &*entry.key.value);
            reported.contains(&field)
                || keys.any(|key| !fields.contains(&key) && nearest(key, [field]).is_some())
        };
        if !error.missing_field().is_some_and(is_known) {
            diagnostics.push(error.diagnostic(what, at));
        }
        // Without the key that is at fault, the others show theirs.
        let at_fault = error.span().and_then(|span| {
            entries.iter().position(|entry| {
                let value = entry.node.span;
                value.start <= span.start && span.end <= value.end
            })
        });
        match at_fault {
            Some(place) => reported.push(entries.remove(place).key.value.as_str()),
            None => return None,
        }
    }
}
