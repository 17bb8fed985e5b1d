//! Walks a map whose keys are known: what is missing or unknown is reported.

use crate::diagnostics::{Diagnostic, Diagnostics, nearest};
use crate::node::{Entry, Map, Node, Value};
use crate::source::Span;

/// Reads the entries of one map. [`MapReader::finish`] then reports the keys that nobody asked
/// for.
pub struct MapReader<'n> {
    what: String,
    at: Span,
    map: &'n Map,
    known: Vec<&'static str>,
    missing: Vec<(&'static str, Diagnostic)>,
}

impl<'n> MapReader<'n> {
    /// A reader of `node`, or a report that it is not a map. `what` is what the map is, with its
    /// article, for messages ("a node"); `at` is where its missing keys are reported: the key
    /// that the map belongs to, or the map's own name.
    pub fn new(
        node: &'n Node,
        what: impl Into<String>,
        at: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let what = what.into();
        let Value::Map(map) = &node.value else {
            diagnostics.push(Diagnostic::error(
                node.span,
                format!(
                    "{what} must be a map of keys and values, not {}",
                    node.kind()
                ),
            ));
            return None;
        };
        Some(Self {
            what,
            at,
            map,
            known: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// Where missing keys are reported.
    pub const fn at(&self) -> Span {
        self.at
    }

    /// The entry of a key that may be missing.
    pub fn get(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push(key);
        self.map.get(key)
    }

    /// The entry of a key that must be there. That it is missing is reported by
    /// [`MapReader::finish`], unless another key is a slip of it.
    pub fn required(&mut self, key: &'static str, help: &str) -> Option<&'n Entry> {
        let entry = self.get(key);
        if entry.is_none() {
            let mut diagnostic =
                Diagnostic::error(self.at, format!("{} needs the key `{key}`", self.what));
            if !help.is_empty() {
                diagnostic = diagnostic.help(help);
            }
            self.missing.push((key, diagnostic));
        }
        entry
    }

    /// Whether some key looks like a slip of `key`.
    pub fn has_slip_of(&self, key: &str) -> bool {
        let mut keys = self.map.entries.iter().map(|e| e.key.value.as_str());
        keys.any(|found| !self.known.contains(&found) && nearest(found, [key]).is_some())
    }

    /// Reports every key that was not asked for, and those that are missing.
    pub fn finish(mut self, diagnostics: &mut Diagnostics) {
        for (key, diagnostic) in std::mem::take(&mut self.missing) {
            if !self.has_slip_of(key) {
                diagnostics.push(diagnostic);
            }
        }
        for entry in &self.map.entries {
            let key = entry.key.value.as_str();
            if self.known.contains(&key) {
                continue;
            }
            diagnostics.push(
                Diagnostic::error(
                    entry.key.span,
                    format!("unknown key `{}` in {}", shown(key), self.what),
                )
                .suggest(key, self.known.iter().copied()),
            );
        }
    }
}

/// A name for a message: cut when it is longer than anybody reads.
pub fn shown(name: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let mut shown: String = name.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < name.len() {
        shown.push_str("...");
    }
    shown
}
