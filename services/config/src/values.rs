//! Readers of single values. Each reports a value that breaks its rule, and then returns `None`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::names::{list_of, nearest, truncated};
use crate::node::{Entry, Node, Value};
use crate::source::Spanned;

/// Longest duration of any key.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the error of a value that is of another kind.
fn wrong(entry: &Entry, expected: &str) -> Diagnostic {
    Diagnostic::error(
        entry.node.span,
        format!(
            "`{}` must be {expected}, not {}",
            truncated(&entry.key.value),
            entry.node.kind()
        ),
    )
}

/// Reads a string.
pub fn string(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<String>> {
    if let Value::String(text) = &entry.node.value {
        return Some(Spanned::new(text.clone(), entry.node.span));
    }
    let mut diagnostic = wrong(entry, "a string");
    if matches!(
        entry.node.value,
        Value::Int(_) | Value::Float(_) | Value::Bool(_)
    ) {
        diagnostic = diagnostic.help("put it in quotes to make it a string");
    }
    diagnostics.push(diagnostic);
    None
}

/// Reads `true` or `false`.
pub fn boolean(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<bool>> {
    if let Value::Bool(value) = entry.node.value {
        return Some(Spanned::new(value, entry.node.span));
    }
    diagnostics.push(wrong(entry, "`true` or `false`"));
    None
}

/// Returns the error of a value outside its range.
fn range_error<T: Display>(
    entry: &Entry,
    value: impl Display,
    range: &RangeInclusive<T>,
) -> Diagnostic {
    Diagnostic::error(
        entry.node.span,
        format!(
            "`{}` is {value}, but must be between {} and {}",
            truncated(&entry.key.value),
            range.start(),
            range.end()
        ),
    )
}

/// Reads an integer within `range`, both ends included.
pub fn int(
    entry: &Entry,
    range: RangeInclusive<i64>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<i64>> {
    match entry.node.value {
        Value::Int(value) if range.contains(&value) => Some(Spanned::new(value, entry.node.span)),
        Value::Int(value) => {
            diagnostics.push(range_error(entry, value, &range));
            None
        }
        _ => {
            diagnostics.push(wrong(entry, "an integer"));
            None
        }
    }
}

/// Reads a count within `range`, both ends included.
pub fn count(
    entry: &Entry,
    range: RangeInclusive<usize>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<usize>> {
    let clamp = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let value = int(
        entry,
        clamp(*range.start())..=clamp(*range.end()),
        diagnostics,
    )?;
    Some(value.map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
}

/// Reads a number within `range`, both ends included.
pub fn number(
    entry: &Entry,
    range: RangeInclusive<f64>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<f64>> {
    let value = match entry.node.value {
        Value::Float(value) => value,
        #[allow(clippy::cast_precision_loss)]
        Value::Int(value) => value as f64,
        _ => {
            diagnostics.push(wrong(entry, "a number"));
            return None;
        }
    };
    if range.contains(&value) {
        return Some(Spanned::new(value, entry.node.span));
    }
    diagnostics.push(range_error(entry, value, &range));
    None
}

/// Reads a duration such as `200ms` within `range`, both ends included.
pub fn duration(
    entry: &Entry,
    range: RangeInclusive<Duration>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<Duration>> {
    const HELP: &str = "write a number and a unit, such as `200ms`, `2s` or `1m`";
    let Value::String(text) = &entry.node.value else {
        diagnostics.push(wrong(entry, "a duration").help(HELP));
        return None;
    };
    let Ok(value) = humantime::parse_duration(text) else {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!("`{}` must be a duration", truncated(&entry.key.value)),
            )
            .help(HELP),
        );
        return None;
    };
    if range.contains(&value) {
        return Some(Spanned::new(value, entry.node.span));
    }
    let (min, max) = (
        humantime::format_duration(*range.start()),
        humantime::format_duration(*range.end()),
    );
    diagnostics.push(Diagnostic::error(
        entry.node.span,
        format!(
            "`{}` is {}, but must be between {min} and {max}",
            truncated(&entry.key.value),
            humantime::format_duration(value),
        ),
    ));
    None
}

/// Units of a size with their bytes.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a number of bytes such as `64MiB` within `range`, both ends included. A number without
/// a unit is bytes.
pub fn size(
    entry: &Entry,
    range: RangeInclusive<usize>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<usize>> {
    let bytes = match &entry.node.value {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::String(text) => parse_size(text),
        _ => None,
    };
    let Some(bytes) = bytes else {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!(
                    "`{}` must be a number of bytes",
                    truncated(&entry.key.value)
                ),
            )
            .help("write a number and a unit, such as `512KiB`, `64MiB` or `1GB`"),
        );
        return None;
    };
    match usize::try_from(bytes) {
        Ok(bytes) if range.contains(&bytes) => Some(Spanned::new(bytes, entry.node.span)),
        _ => {
            diagnostics.push(range_error(
                entry,
                format!("{bytes} bytes"),
                &(*range.start()..=*range.end()),
            ));
            None
        }
    }
}

/// Returns the bytes of a size such as `64MiB` or `4096`; units are case-insensitive.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    let (_, factor) = SIZE_UNITS
        .iter()
        .find(|(name, _)| unit.eq_ignore_ascii_case(name) || unit.is_empty())?;
    number.checked_mul(*factor)
}

/// Returns a number of bytes as a size in the largest unit that divides it: `64MiB`.
pub fn format_size(bytes: usize) -> String {
    let bytes = bytes as u64;
    let mut binary = SIZE_UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
    match binary.rfind(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// Reads a percentage such as `40%` as a fraction from 0 to 1. `range` is in percent, both ends
/// included.
pub fn percent(
    entry: &Entry,
    range: RangeInclusive<f64>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<f64>> {
    let percent = entry
        .node
        .as_str()
        .and_then(|text| text.trim_end().strip_suffix('%'))
        .and_then(|number| number.trim_end().parse::<f64>().ok());
    let Some(percent) = percent else {
        diagnostics
            .push(wrong(entry, "a percentage").help("write a number and `%`, such as `10%`"));
        return None;
    };
    if range.contains(&percent) {
        return Some(Spanned::new(percent / 100.0, entry.node.span));
    }
    diagnostics.push(Diagnostic::error(
        entry.node.span,
        format!(
            "`{}` is {percent}%, but must be between {}% and {}%",
            truncated(&entry.key.value),
            range.start(),
            range.end()
        ),
    ));
    None
}

/// Reads one of `words`, each with its value.
pub fn word<T: Copy>(
    entry: &Entry,
    words: &[(&str, T)],
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<T>> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let span = entry.node.span;
    let text = match &entry.node.value {
        Value::String(text) => Some(text.as_str()),
        // Words that YAML reads as other values. A value that is left out is null, too.
        Value::Null if span.start < span.end => Some("null"),
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        _ => None,
    };
    let found = words.iter().find(|(name, _)| Some(*name) == text);
    if let Some((_, value)) = found {
        return Some(Spanned::new(*value, span));
    }
    let Value::String(text) = &entry.node.value else {
        diagnostics.push(wrong(entry, &format!("one of {}", list_of(&names))));
        return None;
    };
    let mut diagnostic = Diagnostic::error(
        entry.node.span,
        format!(
            "`{}` must be one of {}, not `{}`",
            truncated(&entry.key.value),
            list_of(&names),
            truncated(text)
        ),
    );
    if let Some(near) = nearest(text, names) {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    }
    diagnostics.push(diagnostic);
    None
}

/// Reads a string that has more than white space in it.
pub fn non_empty(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<String>> {
    let text = string(entry, diagnostics)?;
    if text.value.trim().is_empty() {
        diagnostics.push(Diagnostic::error(
            text.span,
            format!("`{}` is empty", truncated(&entry.key.value)),
        ));
        return None;
    }
    Some(text)
}

/// Returns the items of a list.
pub fn list<'n>(entry: &'n Entry, diagnostics: &mut Diagnostics) -> Option<&'n [Node]> {
    if let Value::List(items) = &entry.node.value {
        return Some(items);
    }
    diagnostics.push(wrong(entry, "a list"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_in_the_largest_unit_that_divides_it() {
        for (bytes, expected) in [
            (0, "0B"),
            (1000, "1000B"),
            (4096, "4KiB"),
            (3 << 20, "3MiB"),
            ((1 << 30) + 1024, "1048577KiB"),
            (1 << 40, "1024GiB"),
        ] {
            assert_eq!(format_size(bytes), expected);
            assert_eq!(parse_size(expected), Some(bytes as u64));
        }
    }

    #[test]
    fn a_size_has_an_integer_and_a_unit() {
        for (text, bytes) in [
            ("64MiB", Some(64 << 20)),
            ("1 gib", Some(1 << 30)),
            ("5", Some(5)),
            ("5B", Some(5)),
            ("2kB", Some(2000)),
            ("99999999999GiB", None),
            ("MiB", None),
            ("-1B", None),
            ("1.5MiB", None),
            ("", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }
}
