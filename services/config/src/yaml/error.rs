//! Diagnostics of a text that is not YAML: the position, and what was probably meant.

use crate::diagnostics::Diagnostic;
use crate::source::{FileId, Span};

/// Returns the diagnostic of a parser that stopped at byte `at` with the message `info`.
pub(super) fn diagnostic(info: &str, file: FileId, text: &str, at: usize) -> Diagnostic {
    let start = last_visible(text, at);
    let width = text
        .get(start..)
        .and_then(|rest| rest.chars().next())
        .map_or(0, char::len_utf8);
    let span = |start, end| Span { file, start, end };
    let mut diagnostic = Diagnostic::error(
        span(start, start + width),
        format!("this is not YAML: {info}"),
    );
    let line_start = text
        .get(..start)
        .and_then(|t| t.rfind('\n'))
        .map_or(0, |i| i + 1);
    let line = text
        .get(line_start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or("");
    if line.trim_start_matches(' ').starts_with('\t') {
        diagnostic = diagnostic.help("indent with spaces, not with tabs");
    } else if let Some(ty) = bracketed_type(line) {
        diagnostic = diagnostic.help(format!(
            "inside braces a type with brackets needs quotes: `\"{ty}\"`"
        ));
    } else if let Some(open) = open_bracket(text, start)
        && open < line_start
    {
        diagnostic = diagnostic.also(span(open, open + 1), "this is not closed");
    }
    diagnostic
}

/// Returns the last visible character at or before `at`: a parser stops at the end of a line or
/// of the text, and the caret belongs under what it could not read.
fn last_visible(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or("");
    if !rest.trim_start_matches([' ', '\r']).starts_with('\n') && !rest.is_empty() {
        return at;
    }
    text.get(..at)
        .unwrap_or("")
        .trim_end()
        .char_indices()
        .next_back()
        .map_or(0, |(i, _)| i)
}

/// Returns a word directly followed by brackets, as in `{ type: string[N] }`, which YAML reads as
/// a list.
fn bracketed_type(line: &str) -> Option<&str> {
    line.contains('{').then_some(())?;
    let open = line.find('[')?;
    let word = line[..open]
        .rfind(|c: char| !c.is_ascii_alphanumeric())
        .map_or(0, |i| {
            i + line[i..].chars().next().map_or(1, char::len_utf8)
        });
    let quoted = line[..word].ends_with(['"', '\'']);
    let close = line[open..].find(']').map_or(open + 1, |i| open + i + 1);
    (word < open && !quoted).then(|| &line[word..close])
}

/// Returns the last bracket before `end` that is not closed, outside of quotes and comments.
fn open_bracket(text: &str, end: usize) -> Option<usize> {
    let mut open = Vec::new();
    let mut quote = None;
    let mut comment = false;
    let mut before = b'\n';
    for (i, byte) in text.bytes().enumerate().take(end) {
        match (byte, quote) {
            (b'\n', _) => comment = false,
            _ if comment => {}
            (b'"' | b'\'', Some(q)) if byte == q && before != b'\\' => quote = None,
            (_, Some(_)) => {}
            (b'"' | b'\'', None) if !before.is_ascii_alphanumeric() => quote = Some(byte),
            (b'#', None) if before.is_ascii_whitespace() => comment = true,
            (b'{' | b'[', None) => open.push(i),
            (b'}' | b']', None) => {
                open.pop();
            }
            _ => {}
        }
        before = byte;
    }
    open.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_open_bracket_is_found() {
        for (text, expected) in [
            ("a: {\nb", Some(3)),
            ("a: { b: [ }", Some(3)),
            ("a: \"{\" # [\n", None),
            ("a: 'it''s {' {", Some(13)),
            ("a: don't {", Some(9)),
            ("a: []{}", None),
            ("}", None),
        ] {
            assert_eq!(open_bracket(text, text.len()), expected, "{text}");
        }
    }

    #[test]
    fn a_type_that_needs_quotes_is_found() {
        for (line, expected) in [
            ("a: { type: string[N], b: 1 }", Some("string[N]")),
            ("a: { type: \"string[N]\" }", None),
            ("a: { ü[x] }", None),
            ("a: { type: float[N", Some("float[")),
            ("a: string[N]", None),
            ("{[", None),
        ] {
            assert_eq!(bracketed_type(line), expected, "{line}");
        }
    }
}
