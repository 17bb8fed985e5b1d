//! Builds the tree from the parser's events.

use std::borrow::Cow;
use std::collections::HashSet;

use saphyr_parser::{Event, ScalarStyle, Tag};

use super::scalar;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::names::truncated;
use crate::node::{Entry, Map, Node, Value};
use crate::source::{Span, Spanned};

/// Deepest nesting of maps and lists.
pub const DEPTH_MAX: usize = 64;

/// Most values of one file.
pub const NODES_MAX: usize = 100_000;

/// A map or list whose end has not been read yet. `span` is that of its start event.
enum Collection {
    List {
        span: Span,
        items: Vec<Node>,
    },
    Map {
        span: Span,
        map: Map,
        /// Keys of `map`, so that a duplicate is found in constant time.
        keys: HashSet<String>,
        /// Key that the next value belongs to; `None` when a key comes next.
        key: Option<Key>,
    },
}

/// A key whose value has not been read yet.
enum Key {
    Usable(Spanned<String>),
    /// Already reported: its value is read and dropped.
    Refused,
}

/// Reading cannot go on; the reason was reported.
pub(super) struct Stop;

/// Builds the tree of one document.
pub(super) struct Builder<'a> {
    diagnostics: &'a mut Diagnostics,
    open: Vec<Collection>,
    root: Option<Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    pub(super) const fn new(diagnostics: &'a mut Diagnostics) -> Self {
        Self {
            diagnostics,
            open: Vec::new(),
            root: None,
            nodes: 0,
        }
    }

    /// Returns the document's value, if there was one.
    pub(super) fn finish(self) -> Option<Node> {
        self.root
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn refuse(&mut self, span: Span, message: &str, help: &str) {
        self.report(Diagnostic::error(span, message).help(help));
    }

    /// Adds one event.
    pub(super) fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Alias(_) => self.alias(span),
            Event::Scalar(text, style, anchor, tag) => {
                self.properties(anchor, tag.as_deref(), span);
                self.scalar(text, style, span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.properties(anchor, tag.as_deref(), span);
                let items = Vec::new();
                self.start(span, Collection::List { span, items })
            }
            Event::MappingStart(anchor, tag) => {
                self.properties(anchor, tag.as_deref(), span);
                let map = Collection::Map {
                    span,
                    map: Map::default(),
                    keys: HashSet::new(),
                    key: None,
                };
                self.start(span, map)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn alias(&mut self, span: Span) -> Result<(), Stop> {
        let message = "aliases (`*name`) are not supported";
        self.refuse(span, message, "write the value out");
        let value = Value::Null;
        match self.open.last_mut() {
            // As a key: its value is dropped with it.
            Some(Collection::Map {
                key: key @ None, ..
            }) => {
                *key = Some(Key::Refused);
                self.count(span)
            }
            // As a value: its key is dropped with it.
            Some(Collection::Map { key: Some(key), .. }) => {
                *key = Key::Refused;
                self.value(Node { value, span })
            }
            _ => self.value(Node { value, span }),
        }
    }

    /// Refuses an anchor and a tag, which YAML calls the properties of a node.
    fn properties(&mut self, anchor: usize, tag: Option<&Tag>, span: Span) {
        if anchor > 0 {
            let message = "anchors (`&name`) are not supported";
            self.refuse(span, message, "write the value out where it is needed");
        }
        if let Some(tag) = tag {
            let message = format!("tags such as `{tag}` are not supported");
            let help = "leave the tag out; quotes make a value a string";
            self.refuse(span, &message, help);
        }
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, span: Span) -> Result<(), Stop> {
        let plain = style == ScalarStyle::Plain;
        if matches!(self.open.last(), Some(Collection::Map { key: None, .. })) {
            self.key(text.into_owned(), plain, span);
            return Ok(());
        }
        let span = if plain && span.start == span.end {
            self.span_of_nothing(span)
        } else {
            span
        };
        let value = if plain {
            scalar::plain(&text)
        } else {
            Value::String(text.into_owned())
        };
        self.value(Node { value, span })
    }

    /// Returns the position of a value that was not written: its key, since the parser reports
    /// any position up to the next token.
    fn span_of_nothing(&self, reported: Span) -> Span {
        match self.open.last() {
            Some(Collection::Map {
                key: Some(Key::Usable(key)),
                ..
            }) => key.span,
            _ => Span {
                end: reported.start,
                ..reported
            },
        }
    }

    /// Adds a key to the innermost map. Every scalar is a string as a key.
    fn key(&mut self, text: String, plain: bool, span: Span) {
        let Some(Collection::Map { map, keys, key, .. }) = self.open.last_mut() else {
            return;
        };
        let problem = if plain && text == "<<" {
            let problem = Diagnostic::error(span, "merge keys (`<<`) are not supported");
            Some(problem.help("write the keys out"))
        } else if !keys.insert(text.clone())
            && let Some(first) = map.get(&text)
        {
            let message = format!("duplicate key `{}`", truncated(&text));
            let problem = Diagnostic::error(span, message)
                .label("again here")
                .also(first.key.span, "first here");
            Some(problem.help("keep one of them"))
        } else {
            None
        };
        *key = Some(match problem {
            Some(problem) => {
                self.diagnostics.push(problem);
                Key::Refused
            }
            None => Key::Usable(Spanned::new(text, span)),
        });
    }

    fn start(&mut self, span: Span, collection: Collection) -> Result<(), Stop> {
        if self.open.len() >= DEPTH_MAX {
            let message = format!("maps and lists are nested more than {DEPTH_MAX} deep");
            self.report(Diagnostic::error(span, message));
            return Err(Stop);
        }
        self.open.push(collection);
        Ok(())
    }

    fn end(&mut self, end: Span) -> Result<(), Stop> {
        let Some(collection) = self.open.pop() else {
            return Ok(());
        };
        // The end event of a block collection has the position of the next token, that of a flow
        // collection its closing bracket.
        let block = end.end == end.start;
        let node = match collection {
            Collection::List { mut span, items } => {
                let last = items.last().filter(|_| block);
                span.end = last.map_or(end.end.max(span.end), |item| item.span.end);
                let value = Value::List(items);
                Node { value, span }
            }
            Collection::Map { mut span, map, .. } => {
                if let Some(first) = map.entries.first().filter(|_| block) {
                    span.start = first.key.span.start;
                }
                let last = map.entries.last().filter(|_| block);
                span.end = last.map_or(end.end.max(span.end), |entry| entry.node.span.end);
                let value = Value::Map(map);
                Node { value, span }
            }
        };
        self.value(node)
    }

    /// Adds a complete value to the innermost collection.
    fn value(&mut self, node: Node) -> Result<(), Stop> {
        self.count(node.span)?;
        match self.open.last_mut() {
            None => {
                self.root.get_or_insert(node);
            }
            Some(Collection::List { items, .. }) => items.push(node),
            Some(Collection::Map { map, key, .. }) => match key.take() {
                Some(Key::Usable(name)) => map.entries.push(Entry { key: name, node }),
                Some(Key::Refused) => {}
                None => {
                    *key = Some(Key::Refused);
                    let message = format!("a key must be a string, not {}", node.kind());
                    let help = "braces and brackets inside a value need quotes";
                    self.refuse(node.span, &message, help);
                }
            },
        }
        Ok(())
    }

    /// Counts a value against [`NODES_MAX`].
    fn count(&mut self, span: Span) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} values in one file");
            self.report(Diagnostic::error(span, message));
            return Err(Stop);
        }
        Ok(())
    }
}
