//! The key `streams` of a configuration.
//!
//! * `settings`: keys with a default and a range, as a table.
//! * `broker`: where messages come from, and who may take them.
//! * `target`: where answers and dead letters go.
//! * `reading`: which parts of a message are the inputs, and which is its key.

mod broker;
mod reading;
mod settings;
mod target;

use std::path::Path;

use motet_config::schema::object_with;
use motet_config::values::{count, duration, list, non_empty};
use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Node, Span, Spanned, keys, truncated,
};
use motet_runtime::config::NameRule;
use serde_json::{Value, json};

use broker::BrokerKind;
pub use broker::{Access, BrokerSpec, KafkaSpec, Mechanism, NatsSpec, RedisSpec};
pub(crate) use reading::KEY_HEADER;
pub use reading::{KeySpec, ReadSpec};
pub use settings::{KEYS, Settings};
pub use target::{DeadSpec, TargetSpec};

use crate::core::{Chunk, Order};

/// Most streams of a configuration.
pub const STREAMS_MAX: usize = 1000;

/// Longest time in which a chunk fills.
const WITHIN_MAX: std::time::Duration = std::time::Duration::from_secs(60);

/// A stream of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSpec {
    /// Place of the whole item.
    pub at: Span,
    /// Name, `[a-z][a-z0-9_-]*`.
    pub name: Spanned<String>,
    /// The pipeline that answers.
    pub pipeline: Spanned<String>,
    /// The broker that messages come from, and that answers go to.
    pub from: BrokerSpec,
    /// The key of a message.
    pub key: KeySpec,
    /// The inputs in a message.
    pub read: Spanned<ReadSpec>,
    /// Target of answers.
    pub to: TargetSpec,
    /// Target of messages without an answer.
    pub dead: DeadSpec,
    /// Messages that become one request.
    pub chunk: Option<Spanned<Chunk>>,
    /// Keys with a default.
    pub settings: Settings,
}

/// Reads the entry `streams`. Relative paths in it start from `folder`. Mistakes are added to
/// `diagnostics`.
pub fn read(entry: &Entry, folder: &Path, diagnostics: &mut Diagnostics) -> Vec<StreamSpec> {
    if entry.node.is_null() {
        return Vec::new();
    }
    let items = list(entry, diagnostics).unwrap_or_default();
    if items.len() > STREAMS_MAX {
        let found = items.len();
        let message = format!("{found} streams are more than the limit of {STREAMS_MAX}");
        diagnostics.push(Diagnostic::error(entry.key.span, message));
    }
    let mut streams: Vec<StreamSpec> = Vec::new();
    for item in items.iter().take(STREAMS_MAX) {
        let Some(stream) = read_one(item, folder, diagnostics) else {
            continue;
        };
        let name = &stream.name;
        if let Some(other) = streams.iter().find(|other| other.name.value == name.value) {
            let message = format!("two streams are named `{}`", truncated(&name.value));
            let diagnostic = Diagnostic::error(name.span, message);
            diagnostics.push(diagnostic.also(other.name.span, "the other"));
        }
        streams.push(stream);
    }
    streams
}

/// Reads an item of `streams`. `None` after a mistake that leaves nothing to check further.
fn read_one(item: &Node, folder: &Path, diagnostics: &mut Diagnostics) -> Option<StreamSpec> {
    let name = item.as_map().and_then(|map| map.get("stream"));
    let what = match name.and_then(|entry| entry.node.as_str()) {
        Some(name) => format!("stream `{}`", truncated(name)),
        None => "a stream".to_owned(),
    };
    let at = name.map_or(item.span, |entry| entry.key.span);
    let mut map = MapReader::new(item, what, first(item, at), diagnostics)?;
    let name = map.required("stream", "write `stream: NAME`");
    let pipeline = map.required("pipeline", "the name of the pipeline that answers");
    let from = map.required(
        "from",
        "for example `from: { nats: \"nats://broker:4222\", \
                                     stream: TICKETS, consumer: motet }`",
    );
    let to = map.required("to", "for example `to: { subject: tickets.done }`");
    let dead = map.required(
        "dead",
        "messages that cannot be answered go there: \
                                     `dead: { subject: tickets.dead, after: 5 }`",
    );
    let (read, key, chunk) = (map.get("read"), map.get("key"), map.get("chunk"));
    let mut settings = Settings::default();
    let (spans, _) = keys::read(&KEYS, &mut settings, &mut map, diagnostics);
    map.finish(diagnostics);

    let name = name.and_then(|entry| non_empty(entry, diagnostics));
    if let Some(name) = &name {
        NameRule::Endpoint.check("a stream", name, diagnostics);
    }
    let pipeline = pipeline.and_then(|entry| non_empty(entry, diagnostics));
    let kind = BrokerKind::of(from);
    let from = from.and_then(|entry| BrokerSpec::read(entry, folder, diagnostics));
    let to = to.and_then(|entry| TargetSpec::read(entry, kind, diagnostics));
    let dead = dead.and_then(|entry| DeadSpec::read(entry, kind, diagnostics));
    let read = match read {
        Some(entry) => ReadSpec::read(entry, kind, diagnostics),
        None => Some(Spanned::new(ReadSpec::default_of(kind), at)),
    };
    let key = match key {
        Some(entry) => KeySpec::read(entry, kind, diagnostics),
        None => Some(KeySpec::default_of(kind)),
    };
    let chunk_span = chunk.map(|entry| entry.node.span);
    let chunk = chunk.map(|entry| read_chunk(entry, diagnostics));
    let spec = StreamSpec {
        at: item.span,
        name: name?,
        pipeline: pipeline?,
        from: from?,
        key: key?,
        read: read?,
        to: to?,
        dead: dead?,
        chunk: match chunk {
            Some(chunk) => Some(Spanned::new(chunk?, chunk_span.unwrap_or(at))),
            None => None,
        },
        settings,
    };
    check(&spec, &spans, diagnostics);
    Some(spec)
}

fn first(item: &Node, at: Span) -> Span {
    let map = item.as_map();
    map.and_then(|map| map.entries.first())
        .map_or(at, |entry| entry.key.span)
}

fn read_chunk(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Chunk> {
    let mut map = MapReader::new(&entry.node, "`chunk`", entry.key.span, diagnostics)?;
    let max = map.required("max", "the most messages of a request, such as `max: 64`");
    let within = map.required(
        "within",
        "the time in which it fills, such as `within: 20ms`",
    );
    map.finish(diagnostics);
    let max = max.and_then(|entry| count(entry, 2..=4096, diagnostics));
    let range = std::time::Duration::ZERO..=WITHIN_MAX;
    let within = within.and_then(|entry| duration(entry, range, diagnostics));
    Some(Chunk {
        max: max?.value,
        within: within?.value,
    })
}

/// Reports keys that contradict one another.
fn check(spec: &StreamSpec, spans: &keys::Spans, diagnostics: &mut Diagnostics) {
    let Some(chunk) = &spec.chunk else {
        return;
    };
    let span_of = |key: &str| spans.iter().find(|(name, _)| *name == key).map(|(_, s)| *s);
    if spec.settings.order == Order::Partition {
        let message = "`chunk` and `order: partition` contradict each other: messages of a \
                       partition run one after another";
        let diagnostic = Diagnostic::error(chunk.span, message);
        diagnostics.push(diagnostic.help("leave out `chunk`, or write `order: key`"));
    }
    let in_flight = spec.settings.in_flight;
    if chunk.value.max > in_flight {
        let message = format!(
            "`chunk.max` is {}, but only {in_flight} messages are in flight",
            chunk.value.max
        );
        let diagnostic = Diagnostic::error(chunk.span, message).help("raise `in_flight`");
        diagnostics.push(match span_of("in_flight") {
            Some(span) => diagnostic.also(span, "the messages in flight"),
            None => diagnostic,
        });
    }
}

/// Reports files and variables of credentials that cannot be read.
pub fn check_access(streams: &[StreamSpec], diagnostics: &mut Diagnostics) {
    for stream in streams {
        stream.from.access().check(diagnostics);
    }
}

/// Returns the JSON schema of the key.
pub fn schema() -> Value {
    let mut stream = object_with(
        &["stream", "pipeline", "from", "to", "dead"],
        json!({
            "stream": { "type": "string", "pattern": "^[a-z][a-z0-9_-]{0,62}$" },
            "pipeline": { "type": "string" },
            "from": BrokerSpec::schema(),
            "read": ReadSpec::schema(),
            "key": KeySpec::schema(),
            "to": TargetSpec::schema(),
            "dead": DeadSpec::schema(),
            "chunk": object_with(&["max", "within"], json!({
                "max": { "type": "integer", "minimum": 2, "maximum": 4096 },
                "within": motet_config::schema::duration(),
            })),
        }),
    );
    let mut settings = keys::schema(&KEYS);
    for key in KEYS {
        stream["properties"][key.name] = settings["properties"][key.name].take();
    }
    json!({ "type": ["array", "null"], "items": stream, "maxItems": STREAMS_MAX })
}

#[cfg(test)]
mod tests;
