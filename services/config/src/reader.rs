//! Reading of a map whose keys are known: missing and unknown ones are reported.

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::names::{nearest, truncated};
use crate::node::{Entry, Map, Node, Value};
use crate::source::Span;

/// Reads the entries of one map, then reports the keys that were not asked for:
/// [`MapReader::finish`].
pub struct MapReader<'n> {
    what: String,
    at: Span,
    map: &'n Map,
    known: Vec<&'static str>,
    missing: Vec<(&'static str, Diagnostic)>,
}

impl<'n> MapReader<'n> {
    /// Creates a reader of `node`; a node that is not a map is reported.
    ///
    /// `what` names the map in messages, with its article ("a node"). Missing keys are reported
    /// at `at`: the key whose value the map is, or the map's own name.
    pub fn new(
        node: &'n Node,
        what: impl Into<String>,
        at: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let what = what.into();
        let Value::Map(map) = &node.value else {
            let kind = node.kind();
            diagnostics.push(Diagnostic::error(
                node.span,
                format!("{what} must be a map of keys and values, not {kind}"),
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

    /// Position at which missing keys are reported.
    pub const fn at(&self) -> Span {
        self.at
    }

    /// Returns the entry of an optional key.
    pub fn get(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push(key);
        self.map.get(key)
    }

    /// Returns the entry of a required key. [`MapReader::finish`] reports it as missing, unless
    /// another key is a misspelling of it.
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

    /// Returns whether some key that was not asked for looks like a misspelling of `key`.
    pub fn has_misspelling_of(&self, key: &str) -> bool {
        let mut keys = self.map.entries.iter().map(|e| e.key.value.as_str());
        keys.any(|found| !self.known.contains(&found) && nearest(found, [key]).is_some())
    }

    /// Reports every key that was not asked for, and every required one that is missing.
    pub fn finish(mut self, diagnostics: &mut Diagnostics) {
        for (key, diagnostic) in std::mem::take(&mut self.missing) {
            if !self.has_misspelling_of(key) {
                diagnostics.push(diagnostic);
            }
        }
        for entry in &self.map.entries {
            let key = entry.key.value.as_str();
            if self.known.contains(&key) {
                continue;
            }
            let message = format!("unknown key `{}` in {}", truncated(key), self.what);
            diagnostics.push(
                Diagnostic::error(entry.key.span, message).suggest(key, self.known.iter().copied()),
            );
        }
    }
}
