//! The keys `to` and `dead` of a stream: where answers and dead letters go.

use motet_config::schema::object_with;
use motet_config::values::{count, list, non_empty, word};
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned};
use serde_json::{Value, json};

/// Attempts before a message is a dead letter, unless the file says otherwise.
const AFTER: usize = 5;
/// Most such attempts.
const AFTER_MAX: usize = 1000;

/// Target of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// A subject (NATS), or the key of a stream (Redis).
    pub place: Spanned<String>,
    /// The key of the message goes along.
    pub with_key: bool,
    /// The headers of the message go along.
    pub with_headers: bool,
}

/// Target of messages without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadSpec {
    /// A subject (NATS), or the key of a stream (Redis).
    pub place: Spanned<String>,
    /// Attempts that fail before a message goes there.
    pub after: u32,
}

/// Parts of a message that may go along with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Key,
    Headers,
}

const WITH: [(&str, With); 2] = [("key", With::Key), ("headers", With::Headers)];

impl TargetSpec {
    /// Reads the entry `to`. Mistakes are added to `diagnostics`.
    pub(super) fn read(
        entry: &Entry,
        is_redis: bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut map = MapReader::new(&entry.node, "`to`", entry.key.span, diagnostics)?;
        let place = place(&mut map, is_redis);
        let with = map.get("with");
        map.finish(diagnostics);
        let mut along = Vec::new();
        for item in with
            .and_then(|with| list(with, diagnostics))
            .unwrap_or_default()
        {
            let item = Entry {
                key: with.map_or_else(|| entry.key.clone(), |with| with.key.clone()),
                node: item.clone(),
            };
            along.extend(word(&item, &WITH, diagnostics).map(|word| word.value));
        }
        let place = place.and_then(|entry| read_place(entry, is_redis, diagnostics))?;
        Some(Self {
            place,
            with_key: along.contains(&With::Key),
            with_headers: along.contains(&With::Headers),
        })
    }

    /// Returns the JSON schema of the key.
    pub(super) fn schema() -> Value {
        object_with(
            &[],
            json!({
                "subject": { "type": "string" },
                "key": { "type": "string" },
                "with": { "type": "array", "items": { "enum": WITH.map(|(word, _)| word) } },
            }),
        )
    }
}

impl DeadSpec {
    /// Reads the entry `dead`. Mistakes are added to `diagnostics`.
    pub(super) fn read(
        entry: &Entry,
        is_redis: bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut map = MapReader::new(&entry.node, "`dead`", entry.key.span, diagnostics)?;
        let place = place(&mut map, is_redis);
        let after = map.get("after");
        map.finish(diagnostics);
        let after = match after {
            Some(entry) => count(entry, 1..=AFTER_MAX, diagnostics).map(|after| after.value),
            None => Some(AFTER),
        };
        let place = place.and_then(|entry| read_place(entry, is_redis, diagnostics))?;
        Some(Self {
            place,
            after: u32::try_from(after?).unwrap_or(u32::MAX),
        })
    }

    /// Returns the JSON schema of the key.
    pub(super) fn schema() -> Value {
        object_with(
            &[],
            json!({
                "subject": { "type": "string" },
                "key": { "type": "string" },
                "after": { "type": "integer", "minimum": 1, "maximum": AFTER_MAX },
            }),
        )
    }
}

fn place<'n>(map: &mut MapReader<'n>, is_redis: bool) -> Option<&'n Entry> {
    match is_redis {
        true => map.required("key", "the key of a stream of Redis"),
        false => map.required("subject", "a subject of NATS, which some stream keeps"),
    }
}

fn read_place(
    entry: &Entry,
    is_redis: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<String>> {
    let place = non_empty(entry, diagnostics)?;
    let is_subject = |text: &str| {
        let parts = text.split('.');
        let fits = |part: &str| {
            !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "*>".contains(c))
        };
        parts.into_iter().all(fits)
    };
    if !is_redis && !is_subject(&place.value) {
        let message = "`subject` must be names with dots between them, without `*` and `>`";
        diagnostics.push(Diagnostic::error(place.span, message));
        return None;
    }
    Some(place)
}
