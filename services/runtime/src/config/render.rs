//! Diagnostics as people read them: file, line, column, the line itself, a caret, the fix.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::source::{SourceFile, Sources, Span};

/// Whether a report has terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// ANSI escapes, for a terminal.
    Always,
    /// Plain text, for a file or a pipe.
    Never,
}

impl Diagnostics {
    /// The whole report: every diagnostic, then one line with the counts. Empty when there is
    /// nothing to report.
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
        if self.left_out() > 0 {
            report.push_str(&format!("... and {} more\n", self.left_out()));
        }
        report.push_str(&self.summary());
        report.push('\n');
        report
    }

    /// The counts, such as `3 errors, 1 warning`.
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
        let file = sources.file(span.file);
        let mut snippet = snippet(file).annotation(
            AnnotationKind::Primary
                .span(first_line(file, span))
                .label(diagnostic.label.as_deref()),
        );
        let (here, elsewhere): (Vec<_>, Vec<_>) = diagnostic
            .secondary
            .iter()
            .partition(|s| s.span.file == span.file);
        for other in here {
            snippet = snippet.annotation(
                AnnotationKind::Context
                    .span(first_line(file, other.span))
                    .label(other.value.as_str()),
            );
        }
        group = group.element(snippet);
        for other in elsewhere {
            let file = sources.file(other.span.file);
            group = group.element(
                self::snippet(file).annotation(
                    AnnotationKind::Context
                        .span(first_line(file, other.span))
                        .label(other.value.as_str()),
                ),
            );
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

fn snippet(file: &SourceFile) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    Snippet::source(file.text()).path(file.name())
}

/// The span, cut at the end of its first line: a caret under ten lines of YAML helps nobody.
fn first_line(file: &SourceFile, span: Span) -> Range<usize> {
    let text = file.text();
    let start = floor(text, span.start);
    let end = floor(text, span.end).max(start);
    let line = text.get(start..end).unwrap_or("");
    let line = line.split(['\n', '\r']).next().unwrap_or("").trim_end();
    start..start + line.len()
}

/// The nearest character boundary at or before `byte`.
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
    fn a_report_points_and_helps() {
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
        all.push(Diagnostic::error_without_place("nowhere"));
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
    fn no_span_breaks_the_report() {
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
