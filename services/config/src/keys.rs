//! Keys of a map as a table, from which reading, schema and documentation follow: a default and a
//! range are written once.
//!
//! ```
//! use motet_config::keys::{Field, Key, describe};
//!
//! struct Limits {
//!     rows: usize,
//! }
//!
//! impl Default for Limits {
//!     fn default() -> Self {
//!         Self { rows: 32 }
//!     }
//! }
//!
//! const KEYS: [Key<Limits>; 1] = [Key {
//!     name: "rows",
//!     about: "Most rows of a batch.",
//!     field: Field::Count(1..=4096, |l| Some(l.rows), |l, rows| l.rows = rows),
//! }];
//!
//! let row = "| `rows` | `32` | 1 to 4096 | Most rows of a batch. |";
//! assert_eq!(describe(&KEYS), [row]);
//! ```

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;
use serde_json::{Map, Value, json};

use crate::diagnostics::Diagnostics;
use crate::names::list_of;
use crate::node::Entry;
use crate::reader::MapReader;
use crate::source::Span;
use crate::values::{self, format_size};

/// A key that sets a property of `S`.
pub struct Key<S: 'static> {
    /// The key.
    pub name: &'static str,
    /// Its meaning, in sentences.
    pub about: &'static str,
    /// The property that it sets.
    pub field: Field<S>,
}

/// A property of `S`: its type, its range (both ends included), how to read and how to set it. It
/// is read for the default only: `None` if there is none.
pub enum Field<S: 'static> {
    /// A boolean.
    Bool(fn(&S) -> bool, fn(&mut S, bool)),
    /// A count.
    Count(
        RangeInclusive<usize>,
        fn(&S) -> Option<usize>,
        fn(&mut S, usize),
    ),
    /// A number.
    Number(RangeInclusive<f64>, fn(&S) -> Option<f64>, fn(&mut S, f64)),
    /// A number of bytes.
    Size(
        RangeInclusive<usize>,
        fn(&S) -> Option<usize>,
        fn(&mut S, usize),
    ),
    /// A duration.
    Duration(
        RangeInclusive<Duration>,
        fn(&S) -> Option<Duration>,
        fn(&mut S, Duration),
    ),
    /// One of these words.
    Word(
        &'static [&'static str],
        fn(&S) -> Option<&'static str>,
        fn(&mut S, &'static str),
    ),
    /// A value of another form.
    Other {
        /// Reads the value; `None` after a mistake, which is reported.
        read: fn(&mut S, &Entry, &mut Diagnostics) -> Option<()>,
        /// The default, as it is written in a file.
        default: fn(&S) -> Option<String>,
        /// The JSON schema.
        schema: fn() -> Value,
    },
}

/// The positions of the values that a map has, by key.
pub type Spans = Vec<(&'static str, Span)>;

/// Reads the keys that `map` has into `target`. Returns the positions of their values, and `true`
/// if all of them could be read; a mistake is reported.
pub fn read<S>(
    keys: &[Key<S>],
    target: &mut S,
    map: &mut MapReader<'_>,
    diagnostics: &mut Diagnostics,
) -> (Spans, bool) {
    let mut spans = Spans::new();
    let mut all_read = true;
    for key in keys {
        if let Some(entry) = map.get(key.name) {
            spans.push((key.name, entry.node.span));
            all_read &= key.read(target, entry, diagnostics).is_some();
        }
    }
    (spans, all_read)
}

/// Returns the JSON schema of a map with these keys.
pub fn schema<S: Default>(keys: &[Key<S>]) -> Value {
    let defaults = S::default();
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), key.schema(&defaults)))
        .collect();
    crate::schema::object(Value::Object(properties))
}

/// Returns a row of a Markdown table for each key: key, default, range, meaning.
pub fn describe<S: Default>(keys: &[Key<S>]) -> Vec<String> {
    let defaults = S::default();
    let row = |key: &Key<S>| {
        let default = key.default(&defaults).map(|text| format!("`{text}`"));
        let default = default.unwrap_or_else(|| "none".to_owned());
        let range = key.range();
        format!("| `{}` | {default} | {range} | {} |", key.name, key.about)
    };
    keys.iter().map(row).collect()
}

impl<S> Key<S> {
    fn read(&self, target: &mut S, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<()> {
        match &self.field {
            Field::Bool(_, set) => {
                set(target, values::boolean(entry, diagnostics)?.value);
            }
            Field::Count(range, _, set) => {
                set(
                    target,
                    values::count(entry, range.clone(), diagnostics)?.value,
                );
            }
            Field::Number(range, _, set) => {
                set(
                    target,
                    values::number(entry, range.clone(), diagnostics)?.value,
                );
            }
            Field::Size(range, _, set) => {
                set(
                    target,
                    values::size(entry, range.clone(), diagnostics)?.value,
                );
            }
            Field::Duration(range, _, set) => {
                let value = values::duration(entry, range.clone(), diagnostics)?;
                set(target, value.value);
            }
            Field::Word(words, _, set) => {
                let words: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
                set(target, values::word(entry, &words, diagnostics)?.value);
            }
            Field::Other { read, .. } => read(target, entry, diagnostics)?,
        }
        Some(())
    }

    /// Returns the default as it is written in a file.
    fn default(&self, defaults: &S) -> Option<String> {
        match &self.field {
            Field::Bool(get, _) => Some(get(defaults).to_string()),
            Field::Count(_, get, _) => get(defaults).map(|n| n.to_string()),
            Field::Number(_, get, _) => get(defaults).map(|x| x.to_string()),
            Field::Size(_, get, _) => get(defaults).map(format_size),
            Field::Duration(_, get, _) => get(defaults).map(|d| format_duration(d).to_string()),
            Field::Word(_, get, _) => get(defaults).map(str::to_owned),
            Field::Other { default, .. } => default(defaults),
        }
    }

    /// Returns the range, or the words, for documentation.
    fn range(&self) -> String {
        fn range<T: Display>(start: T, end: T) -> String {
            format!("{start} to {end}")
        }
        match &self.field {
            Field::Bool(..) | Field::Other { .. } => String::new(),
            Field::Count(r, ..) => range(r.start(), r.end()),
            Field::Number(r, ..) => range(r.start(), r.end()),
            Field::Size(r, ..) => range(format_size(*r.start()), format_size(*r.end())),
            Field::Duration(r, ..) => range(format_duration(*r.start()), format_duration(*r.end())),
            Field::Word(words, ..) => list_of(words),
        }
    }

    /// Returns the JSON schema of the value.
    fn schema(&self, defaults: &S) -> Value {
        let mut schema = match &self.field {
            Field::Bool(..) => json!({ "type": "boolean" }),
            Field::Count(range, ..) => {
                json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
            }
            Field::Number(range, ..) => {
                json!({ "type": "number", "minimum": range.start(), "maximum": range.end() })
            }
            Field::Size(..) => crate::schema::size(),
            Field::Duration(..) => crate::schema::duration(),
            Field::Word(words, ..) => json!({ "enum": words }),
            Field::Other { schema, .. } => schema(),
        };
        let default = self.default(defaults);
        let about = match (default, self.range()) {
            (None, range) if range.is_empty() => self.about.to_owned(),
            (None, range) => format!("{} {range}.", self.about),
            (Some(default), range) if range.is_empty() => {
                format!("{} Default {default}.", self.about)
            }
            (Some(default), range) => format!("{} {range}, default {default}.", self.about),
        };
        schema["description"] = about.into();
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Colour;
    use crate::source::Sources;
    use crate::yaml::parse;

    #[derive(Debug, Clone, PartialEq)]
    struct Settings {
        on: bool,
        rows: Option<usize>,
        share: f64,
        bytes: usize,
        wait: Duration,
        order: &'static str,
        name: String,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self {
                on: true,
                rows: None,
                share: 0.5,
                bytes: 64 << 20,
                wait: Duration::from_millis(20),
                order: "first",
                name: String::new(),
            }
        }
    }

    const KEYS: [Key<Settings>; 7] = [
        Key {
            name: "on",
            about: "On.",
            field: Field::Bool(|s| s.on, |s, v| s.on = v),
        },
        Key {
            name: "rows",
            about: "Rows.",
            field: Field::Count(1..=9, |s| s.rows, |s, v| s.rows = Some(v)),
        },
        Key {
            name: "share",
            about: "Share.",
            field: Field::Number(0.0..=0.5, |s| Some(s.share), |s, v| s.share = v),
        },
        Key {
            name: "bytes",
            about: "Bytes.",
            field: Field::Size(4096..=1 << 30, |s| Some(s.bytes), |s, v| s.bytes = v),
        },
        Key {
            name: "wait",
            about: "Wait.",
            field: Field::Duration(
                Duration::ZERO..=Duration::from_secs(10),
                |s| Some(s.wait),
                |s, v| s.wait = v,
            ),
        },
        Key {
            name: "order",
            about: "Order.",
            field: Field::Word(&["first", "last"], |s| Some(s.order), |s, v| s.order = v),
        },
        Key {
            name: "name",
            about: "Name.",
            field: Field::Other {
                read: |s, entry, diagnostics| {
                    s.name = values::non_empty(entry, diagnostics)?.value;
                    Some(())
                },
                default: |_| None,
                schema: || json!({ "type": "string" }),
            },
        },
    ];

    fn settings(text: &str) -> (Settings, Spans, bool, String) {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let file = sources.add("t", "", text);
        let root = parse(&sources, file, &mut diagnostics).unwrap();
        let mut map = MapReader::new(&root, "a map", root.span, &mut diagnostics).unwrap();
        let mut found = Settings::default();
        let (spans, all_read) = read(&KEYS, &mut found, &mut map, &mut diagnostics);
        map.finish(&mut diagnostics);
        let report = diagnostics.render(&sources, Colour::Never);
        (found, spans, all_read, report)
    }

    #[test]
    fn each_key_sets_its_property_and_no_other() {
        let default = Settings::default;
        for (text, expected) in [
            ("{}", default()),
            (
                "on: false",
                Settings {
                    on: false,
                    ..default()
                },
            ),
            (
                "rows: 3",
                Settings {
                    rows: Some(3),
                    ..default()
                },
            ),
            (
                "share: 0.1",
                Settings {
                    share: 0.1,
                    ..default()
                },
            ),
            (
                "bytes: 1MiB",
                Settings {
                    bytes: 1 << 20,
                    ..default()
                },
            ),
            (
                "wait: 0s",
                Settings {
                    wait: Duration::ZERO,
                    ..default()
                },
            ),
            (
                "order: last",
                Settings {
                    order: "last",
                    ..default()
                },
            ),
            (
                "name: n",
                Settings {
                    name: "n".to_owned(),
                    ..default()
                },
            ),
        ] {
            let (found, spans, all_read, report) = settings(text);
            assert_eq!((found, all_read), (expected, true), "{text}\n{report}");
            assert_eq!(spans.len(), usize::from(text != "{}"), "{text}");
        }
    }

    #[test]
    fn a_value_outside_its_range_is_reported() {
        for text in [
            "on: 1",
            "rows: 10",
            "share: 0.6",
            "bytes: 1",
            "wait: 11s",
            "order: x",
            "name: \"\"",
        ] {
            let (found, spans, all_read, report) = settings(text);
            assert_eq!((found, all_read), (Settings::default(), false), "{text}");
            assert_eq!(spans.len(), 1, "{text}");
            assert!(report.contains("1 error"), "{text}\n{report}");
        }
    }

    #[test]
    fn documentation_and_schema_have_default_and_range() {
        assert_eq!(
            describe(&KEYS),
            [
                "| `on` | `true` |  | On. |",
                "| `rows` | none | 1 to 9 | Rows. |",
                "| `share` | `0.5` | 0 to 0.5 | Share. |",
                "| `bytes` | `64MiB` | 4KiB to 1GiB | Bytes. |",
                "| `wait` | `20ms` | 0s to 10s | Wait. |",
                "| `order` | `first` | `first` and `last` | Order. |",
                "| `name` | none |  | Name. |",
            ]
        );
        let schema = schema(&KEYS);
        assert_eq!(
            schema["properties"]["rows"],
            json!({ "type": "integer", "minimum": 1, "maximum": 9, "description": "Rows. 1 to 9." })
        );
        let wait = schema["properties"]["wait"]["description"].as_str();
        assert_eq!(wait, Some("Wait. 0s to 10s, default 20ms."));
        assert_eq!(schema["additionalProperties"], false);
    }
}
