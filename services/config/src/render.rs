//! Rendering of diagnostics: file, line, column, the line itself, a caret, help.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostics::{Diagnostic, Diagnostics, Severity};
use crate::source::{SourceFile, Sources, Span, Spanned};

/// Use of terminal colours in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// ANSI escapes, for a terminal.
    Always,
    /// Plain text, for a file or a pipe.
    Never,
}

impl Diagnostics {
    /// Renders every diagnostic, then one line with the counts. Empty when there is none.
    pub fn render(&self, sources: &Sources, colour: Colour) -> String {
        if self.is_empty() {
            return String::new();
        }
        let renderer = match colour {
            Colour::Always => Renderer::styled(),
            Colour::Never => Renderer::plain(),
        };
        let mut report = String::new();
        for diagnostic in self.sorted() {
            report.push_str(&renderer.render(&[group(diagnostic, sources)]));
            report.push_str("\n\n");
        }
        if self.omitted() > 0 {
            report.push_str(&format!("... and {} more\n", self.omitted()));
        }
        report.push_str(&self.summary());
        report.push('\n');
        report
    }

    /// Returns the counts: `3 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        match (self.errors(), self.warnings()) {
            (errors, 0) => count(errors, "error"),
            (0, warnings) => count(warnings, "warning"),
            (errors, warnings) => {
                format!("{}, {}", count(errors, "error"), count(warnings, "warning"))
            }
        }
    }
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()));
    if let Some(span) = diagnostic.span {
        let (here, elsewhere): (Vec<_>, Vec<_>) = diagnostic
            .secondary
            .iter()
            .partition(|s| s.span.file == span.file);
        let mut marks = vec![(AnnotationKind::Primary, span, diagnostic.label.as_deref())];
        marks.extend(here.iter().map(|other| context(other)));
        group = group.element(snippet(sources.file(span.file), &marks));
        for other in elsewhere {
            group = group.element(snippet(sources.file(other.span.file), &[context(other)]));
        }
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// A span to underline, with its label.
type Mark<'a> = (AnnotationKind, Span, Option<&'a str>);

fn context(other: &Spanned<String>) -> Mark<'_> {
    (AnnotationKind::Context, other.span, Some(&other.value))
}

/// Returns the lines that hold the marks, and no more: the renderer's work grows with the text
/// that it is given.
fn snippet<'a>(file: &'a SourceFile, marks: &[Mark<'a>]) -> Snippet<'a, Annotation<'a>> {
    let text = file.text();
    let spans: Vec<Range<usize>> = marks.iter().map(|m| first_line(file, m.1)).collect();
    let first = spans.iter().map(|s| s.start).min().unwrap_or(0);
    let last = spans.iter().map(|s| s.end).max().unwrap_or(0);
    let start = text[..first].rfind('\n').map_or(0, |i| i + 1);
    let end = text[last..].find('\n').map_or(text.len(), |i| last + i + 1);
    let (line, _) = file.position(start);
    let annotations = marks.iter().zip(spans).map(|((kind, _, label), span)| {
        kind.span(span.start - start..span.end - start)
            .label(*label)
    });
    Snippet::source(&text[start..end])
        .line_start(line)
        .path(file.name())
        .annotations(annotations)
}

/// Returns the part of the span in its first line: ten underlined lines would hide the mistake.
fn first_line(file: &SourceFile, span: Span) -> Range<usize> {
    let text = file.text();
    let start = floor(text, span.start);
    let end = floor(text, span.end).max(start);
    let line = text.get(start..end).unwrap_or("");
    let line = line.split(['\n', '\r']).next().unwrap_or("").trim_end();
    start..start + line.len()
}

/// Returns the nearest character boundary at or before `byte`.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shows_position_label_and_help() {
        let mut sources = Sources::new();
        let file = sources.add("a.yaml", "", "é: x\nkey: value\nmore: y\n");
        let mut all = Diagnostics::new();
        let at = |start, end| Span { file, start, end };
        all.push(
            Diagnostic::error(at(11, 24), "no such `value`")
                .label("not known")
                .also(at(0, 2), "the other place")
                .suggest("value", ["valve", "x"]),
        );
        all.push(Diagnostic::warning(at(4, 5), "odd").note("because"));
        all.push(Diagnostic::error_without_span("nowhere"));
        assert_eq!(
            all.render(&sources, Colour::Never),
            "\
error: nowhere

warning: odd
 --> a.yaml:1:4
  |
1 | é: x
  |    ^
  |
  = note: because

error: no such `value`
 --> a.yaml:2:6
  |
1 | é: x
  | - the other place
2 | key: value
  |      ^^^^^ not known
  |
  = help: did you mean `valve`?

2 errors, 1 warning
"
        );
        assert!(all.render(&sources, Colour::Always).contains("\u{1b}["));
    }

    #[test]
    fn a_span_outside_the_text_is_rendered() {
        let mut sources = Sources::new();
        for text in ["", "\n", "é", "a: 日本\r\n", "\t\u{7}x\u{200d}"] {
            let file = sources.add("a.yaml", "", text);
            for start in 0..10 {
                for end in start..10 {
                    let mut all = Diagnostics::new();
                    all.push(
                        Diagnostic::error(Span { file, start, end }, "m")
                            .label("l")
                            .also(
                                Span {
                                    file,
                                    start: end,
                                    end,
                                },
                                "s",
                            ),
                    );
                    assert!(all.render(&sources, Colour::Never).contains("1 error"));
                }
            }
        }
    }
}
