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
        let mut report = String::new();
        for block in self.blocks(sources, colour) {
            report.push_str(&block);
            report.push_str("\n\n");
        }
        if self.omitted() > 0 {
            report.push_str(&format!("... and {} more\n", self.omitted()));
        }
        report.push_str(&self.summary());
        report.push('\n');
        report
    }

    /// Renders as many diagnostics as fit, whole and without colour, then the number of the others
    /// and the counts. `size` is the size of a text, which `size_max` limits. Of a diagnostic that
    /// does not fit by itself only the message and the place are shown, or nothing.
    pub fn render_within(
        &self,
        sources: &Sources,
        size_max: usize,
        size: impl Fn(&str) -> usize,
    ) -> String {
        let all = self.errors() + self.warnings();
        let end = |shown: usize| match all - shown {
            0 => format!("{}\n", self.summary()),
            1 => format!("and 1 more mistake\n\n{}\n", self.summary()),
            more => format!("and {more} more mistakes\n\n{}\n", self.summary()),
        };
        let (mut report, mut shown) = (String::new(), 0);
        for block in self.blocks(sources, Colour::Never) {
            let short = || block.lines().take(2).collect::<Vec<_>>().join("\n");
            let forms = [block.clone(), short()];
            let longer = forms.iter().map(|form| format!("{report}{form}\n\n"));
            let fits = |report: &String| size(&format!("{report}{}", end(shown + 1))) <= size_max;
            match longer.take(if shown == 0 { 2 } else { 1 }).find(fits) {
                Some(longer) => report = longer,
                None => break,
            }
            shown += 1;
        }
        report.push_str(&end(shown));
        report
    }

    /// Renders each diagnostic, in their order.
    fn blocks(&self, sources: &Sources, colour: Colour) -> impl Iterator<Item = String> {
        let renderer = match colour {
            Colour::Always => Renderer::styled(),
            Colour::Never => Renderer::plain(),
        };
        let sorted = self.sorted().into_iter();
        sorted.map(move |diagnostic| renderer.render(&[group(diagnostic, sources)]))
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
    fn a_report_within_a_size_has_whole_diagnostics_and_the_number_of_the_others() {
        let mut sources = Sources::new();
        let line = format!("key: {}\n", "v".repeat(60));
        let file = sources.add("a.yaml", "", line.repeat(500));
        let mut all = Diagnostics::new();
        for n in 0..500 {
            let start = n * line.len();
            let end = start + 3;
            all.push(Diagnostic::error(
                Span { file, start, end },
                format!("mistake {n}"),
            ));
        }
        for (size_max, shown) in [(0, 0), (100, 1), (200, 1), (400, 3), (1 << 20, 200)] {
            let report = all.render_within(&sources, size_max, str::len);
            assert!(report.len() <= size_max.max(60), "{report}");
            assert_eq!(report.matches("error: mistake").count(), shown, "{report}");
            let more = format!("and {} more mistakes\n\n500 errors\n", 500 - shown);
            assert!(report.ends_with(&more), "{report}");
            for block in report.split("\n\n").take(shown) {
                let is_whole = block.ends_with("^^^");
                assert!(is_whole || size_max == 100, "{block:?}");
            }
        }
        let mut one = Diagnostics::new();
        one.push(Diagnostic::error_without_span("nowhere"));
        let whole = one.render(&sources, Colour::Never);
        assert_eq!(one.render_within(&sources, 1000, str::len), whole);
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
