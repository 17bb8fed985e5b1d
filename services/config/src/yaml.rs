//! Text to [`Node`]: the part of YAML that a configuration needs, refusing the rest by name.

use std::borrow::Cow;
use std::collections::HashSet;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::node::{Entry, Map, Node, Value};
use crate::reader::shown;
use crate::scalar;
use crate::source::{FileId, Sources, Span, Spanned};
use crate::yaml_error;

/// The most maps and lists inside each other.
pub const DEPTH_MAX: usize = 64;

/// The most values in one file.
pub const NODES_MAX: usize = 100_000;

/// Reads the YAML of a file that was added to `sources`.
///
/// `None` when nothing useful could be read; the reason is then among the diagnostics. Mistakes
/// such as a duplicate key are reported and the rest is still read, so that one run finds all.
pub fn parse(sources: &Sources, file: FileId, diagnostics: &mut Diagnostics) -> Option<Node> {
    let text = sources.file(file).text();
    let spans = SpanMap::new(file, text);
    let mut builder = Builder {
        diagnostics,
        stack: Vec::new(),
        root: None,
        nodes: 0,
    };
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = spans.byte(error.marker());
                let diagnostic = yaml_error::diagnostic(error.info(), file, text, at);
                builder.diagnostics.push(diagnostic);
                return None;
            }
        };
        let span = spans.span(span);
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                builder.diagnostics.push(
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
    let root = builder.root.take();
    if root.as_ref().is_none_or(Node::is_null) {
        diagnostics.push(Diagnostic::error_without_place(format!(
            "`{}` is empty",
            sources.file(file).name()
        )));
        return None;
    }
    root
}

/// Turns the parser's positions, which count characters, into byte spans.
struct SpanMap<'t> {
    file: FileId,
    text: &'t str,
    /// The byte of each character; `None` where all are ASCII and the two agree.
    bytes: Option<Vec<usize>>,
}

impl<'t> SpanMap<'t> {
    fn new(file: FileId, text: &'t str) -> Self {
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(i, _)| i).collect());
        Self { file, text, bytes }
    }

    fn byte(&self, marker: &Marker) -> usize {
        let index = marker.index();
        match &self.bytes {
            None => index.min(self.text.len()),
            Some(bytes) => bytes.get(index).copied().unwrap_or(self.text.len()),
        }
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.byte(&span.start);
        let end = self.byte(&span.end).max(start);
        // What follows a quoted text up to the next sign belongs to nobody.
        let found = self.text.get(start..end).map_or(0, |t| t.trim_end().len());
        Span {
            file: self.file,
            start,
            end: if found == 0 { end } else { start + found },
        }
    }
}

/// A map or list that is not closed yet.
enum Open {
    List {
        span: Span,
        items: Vec<Node>,
    },
    Map {
        span: Span,
        map: Map,
        /// The keys of `map`, so that a map of any size is read in linear time.
        keys: HashSet<String>,
        key: Option<Key>,
    },
}

/// The key that the next value belongs to.
enum Key {
    Usable(Spanned<String>),
    /// Already reported; its value is read and dropped.
    Refused,
}

/// The file cannot be read on; the reason was reported.
struct Stop;

struct Builder<'a> {
    diagnostics: &'a mut Diagnostics,
    stack: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Alias(_) => {
                self.refuse(
                    span,
                    "aliases (`*name`) are not supported",
                    "write the value out",
                );
                // Nothing more is said of a key whose value was refused.
                if let Some(Open::Map { key: Some(key), .. }) = self.stack.last_mut() {
                    *key = Key::Refused;
                }
                self.value(
                    Node {
                        value: Value::Null,
                        span,
                    },
                    true,
                )
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.decorations(anchor, tag.as_deref(), span);
                self.scalar(text, style, span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.decorations(anchor, tag.as_deref(), span);
                self.open(Open::List {
                    span,
                    items: Vec::new(),
                })
            }
            Event::MappingStart(anchor, tag) => {
                self.decorations(anchor, tag.as_deref(), span);
                self.open(Open::Map {
                    span,
                    map: Map::default(),
                    keys: HashSet::new(),
                    key: None,
                })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn refuse(&mut self, span: Span, message: &str, help: &str) {
        self.diagnostics
            .push(Diagnostic::error(span, message).help(help));
    }

    fn decorations(&mut self, anchor: usize, tag: Option<&Tag>, span: Span) {
        if anchor > 0 {
            self.refuse(
                span,
                "anchors (`&name`) are not supported",
                "write the value out where it is needed",
            );
        }
        if let Some(tag) = tag {
            self.refuse(
                span,
                &format!("tags such as `{tag}` are not supported"),
                "leave the tag out; quotes make a value a text",
            );
        }
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, span: Span) -> Result<(), Stop> {
        let plain = style == ScalarStyle::Plain;
        if self.expects_key() {
            // Every scalar is a text as a key: `null: ...` and `1: ...` name a port like any other.
            return self.key(text.into_owned(), plain, span);
        }
        let span = if plain && span.start == span.end {
            // The parser puts a missing value anywhere up to the next token; its key is the place to look at.
            self.current_key().unwrap_or(Span {
                end: span.start,
                ..span
            })
        } else {
            span
        };
        let value = if plain {
            scalar::plain(&text)
        } else {
            Value::String(text.into_owned())
        };
        self.value(Node { value, span }, false)
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open::Map { key: None, .. }))
    }

    fn current_key(&self) -> Option<Span> {
        match self.stack.last() {
            Some(Open::Map {
                key: Some(Key::Usable(key)),
                ..
            }) => Some(key.span),
            _ => None,
        }
    }

    fn key(&mut self, text: String, plain: bool, span: Span) -> Result<(), Stop> {
        let Some(Open::Map { map, keys, key, .. }) = self.stack.last_mut() else {
            return Ok(());
        };
        let mut problem = None;
        if plain && text == "<<" {
            problem = Some(
                Diagnostic::error(span, "merge keys (`<<`) are not supported")
                    .help("write the keys out"),
            );
        } else if !keys.insert(text.clone())
            && let Some(first) = map.get(&text)
        {
            problem = Some(
                Diagnostic::error(span, format!("duplicate key `{}`", shown(&text)))
                    .label("again here")
                    .also(first.key.span, "first here")
                    .help("keep one of them"),
            );
        }
        *key = Some(match problem {
            Some(problem) => {
                self.diagnostics.push(problem);
                Key::Refused
            }
            None => Key::Usable(Spanned::new(text, span)),
        });
        Ok(())
    }

    fn open(&mut self, open: Open) -> Result<(), Stop> {
        let (Open::List { span, .. } | Open::Map { span, .. }) = &open;
        if self.stack.len() >= DEPTH_MAX {
            self.diagnostics.push(Diagnostic::error(
                *span,
                format!("maps and lists are nested more than {DEPTH_MAX} deep"),
            ));
            return Err(Stop);
        }
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Stop> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        let covered = |start: Span, last: Option<Span>, first: Option<Span>| {
            // In block style the parser gives the end event the place of the next token: end with the last child.
            let flow = end.end > end.start;
            Span {
                file: start.file,
                start: first.filter(|_| !flow).map_or(start.start, |f| f.start),
                end: match last {
                    Some(last) if !flow => last.end,
                    _ => end.end.max(start.end),
                },
            }
        };
        let node = match open {
            Open::List { span, items } => Node {
                span: covered(span, items.last().map(|n| n.span), None),
                value: Value::List(items),
            },
            Open::Map { span, map, .. } => Node {
                span: covered(
                    span,
                    map.entries.last().map(|e| Span {
                        start: e.key.span.start,
                        ..e.node.span
                    }),
                    map.entries.first().map(|e| e.key.span),
                ),
                value: Value::Map(map),
            },
        };
        self.value(node, false)
    }

    /// Puts a finished value where it belongs. `reported` values stand for something that was
    /// refused already.
    fn value(&mut self, node: Node, reported: bool) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.diagnostics.push(Diagnostic::error(
                node.span,
                format!("more than {NODES_MAX} values in one file"),
            ));
            return Err(Stop);
        }
        let mut problem = None;
        match self.stack.last_mut() {
            None => {
                if self.root.is_none() {
                    self.root = Some(node);
                }
            }
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { map, key, .. }) => match key.take() {
                Some(Key::Usable(name)) => map.entries.push(Entry { key: name, node }),
                Some(Key::Refused) => {}
                None => {
                    if !reported {
                        problem = Some(
                            Diagnostic::error(
                                node.span,
                                format!("a key must be a text, not {}", node.kind()),
                            )
                            .help("braces and brackets inside a value need quotes"),
                        );
                    }
                    *key = Some(Key::Refused);
                }
            },
        }
        if let Some(problem) = problem {
            self.diagnostics.push(problem);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
