//! YAML text to a [`Node`] tree.
//!
//! Only the part of YAML that a configuration needs is read: anchors, aliases, tags, merge keys
//! and several documents are refused by name. Keys are strings whatever they look like, so that
//! `null` and `1` can be names. A tree library would resolve what is refused here, stop at the
//! first duplicate key, and read keys as typed values.
//!
//! * `builder`: events to the tree; `spans`: their positions.
//! * `scalar`: the value of a plain scalar.
//! * `error`: the diagnostic of a text that is not YAML.

mod builder;
mod error;
mod scalar;
mod spans;

use saphyr_parser::{Event, Parser};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::node::Node;
use crate::source::{FileId, Sources};
use builder::Builder;
pub use builder::{DEPTH_MAX, NODES_MAX};
use spans::SpanMap;

/// Reads the YAML of a file of `sources`.
///
/// Mistakes such as a duplicate key are reported and the rest is still read, so that one run
/// finds all of them. `None` when nothing useful could be read; the reason is reported.
pub fn parse(sources: &Sources, file: FileId, diagnostics: &mut Diagnostics) -> Option<Node> {
    let text = sources.file(file).text();
    let spans = SpanMap::new(file, text);
    let mut builder = Builder::new(diagnostics);
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = spans.byte(error.marker());
                builder.report(error::diagnostic(error.info(), file, text, at));
                return None;
            }
        };
        let span = spans.span(span);
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                builder.report(
                    Diagnostic::error(span, "a second YAML document in one file")
                        .help("put it into a file of its own"),
                );
                break;
            }
        }
        if builder.event(event, span).is_err() {
            return None;
        }
    }
    let root = builder.finish();
    if root.as_ref().is_none_or(Node::is_null) {
        let name = sources.file(file).name();
        diagnostics.push(Diagnostic::error_without_span(format!("`{name}` is empty")));
        return None;
    }
    root
}

#[cfg(test)]
mod tests;
