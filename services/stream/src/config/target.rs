//! The keys `to` and `dead` of a stream: where answers and dead letters go.

use motet_config::schema::object_with;
use motet_config::values::{count, list, non_empty, word};
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned};
use serde_json::{Value, json};

use super::BrokerKind;

/// Attempts before a message is a dead letter, unless the file says otherwise.
const AFTER: usize = 5;
/// Most such attempts.
const AFTER_MAX: usize = 1000;

/// Most characters of a topic's name.
const TOPIC_MAX: usize = 249;

/// Target of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// A subject (NATS), the key of a stream (Redis), or a topic (Kafka).
    pub place: Spanned<String>,
    /// The key of the message goes along.
    pub with_key: bool,
    /// The headers of the message go along.
    pub with_headers: bool,
}

/// Target of messages without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadSpec {
    /// A subject (NATS), the key of a stream (Redis), or a topic (Kafka).
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
        kind: BrokerKind,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut map = MapReader::new(&entry.node, "`to`", entry.key.span, diagnostics)?;
        let place = place(&mut map, kind);
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
        let place = place.and_then(|entry| read_place(entry, kind, diagnostics))?;
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
                "topic": { "type": "string" },
                "with": { "type": "array", "items": { "enum": WITH.map(|(word, _)| word) } },
            }),
        )
    }
}

impl DeadSpec {
    /// Reads the entry `dead`. Mistakes are added to `diagnostics`.
    pub(super) fn read(
        entry: &Entry,
        kind: BrokerKind,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut map = MapReader::new(&entry.node, "`dead`", entry.key.span, diagnostics)?;
        let place = place(&mut map, kind);
        let after = map.get("after");
        map.finish(diagnostics);
        let after = match after {
            Some(entry) => count(entry, 1..=AFTER_MAX, diagnostics).map(|after| after.value),
            None => Some(AFTER),
        };
        let place = place.and_then(|entry| read_place(entry, kind, diagnostics))?;
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
                "topic": { "type": "string" },
                "after": { "type": "integer", "minimum": 1, "maximum": AFTER_MAX },
            }),
        )
    }
}

fn place<'n>(map: &mut MapReader<'n>, kind: BrokerKind) -> Option<&'n Entry> {
    match kind {
        BrokerKind::Nats => map.required("subject", "a subject of NATS, which some stream keeps"),
        BrokerKind::Redis => map.required("key", "the key of a stream of Redis"),
        BrokerKind::Kafka => map.required("topic", "a topic of Kafka"),
    }
}

fn read_place(
    entry: &Entry,
    kind: BrokerKind,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<String>> {
    match kind {
        BrokerKind::Nats => subject(entry, diagnostics),
        BrokerKind::Redis => non_empty(entry, diagnostics),
        BrokerKind::Kafka => topic(entry, diagnostics),
    }
}

fn subject(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<String>> {
    let subject = non_empty(entry, diagnostics)?;
    let fits = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "*>".contains(c))
    };
    if subject.value.split('.').all(fits) {
        return Some(subject);
    }
    let message = "`subject` must be names with dots between them, without `*` and `>`";
    diagnostics.push(Diagnostic::error(subject.span, message));
    None
}

/// Reads the name of a topic of Kafka.
pub(super) fn topic(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<String>> {
    let topic = non_empty(entry, diagnostics)?;
    let name = topic.value.as_str();
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.len() <= TOPIC_MAX && name.chars().all(fits) && ![".", ".."].contains(&name) {
        return Some(topic);
    }
    let message = "`topic` must be of letters, digits, `.`, `_` and `-`, and at most 249 of them";
    diagnostics.push(Diagnostic::error(topic.span, message));
    None
}
