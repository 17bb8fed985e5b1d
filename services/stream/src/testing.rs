//! Streams and messages of unit tests.

use std::path::Path;

use bytes::Bytes;
use motet_config::{Diagnostics, Sources, parse};

use crate::config::{self, StreamSpec};
use crate::core::Position;
use crate::message::{Delivery, Message};

/// Returns a stream with these keys beside, or in place of, its own.
pub(crate) fn spec(keys: &str) -> StreamSpec {
    let to = match keys.starts_with("to:") {
        true => "",
        false => "    to: { subject: done }\n",
    };
    let text = format!(
        "streams:\n  - stream: t\n    pipeline: p\n    \
         from: {{ nats: \"nats://b:1\", stream: T }}\n{to}    \
         dead: {{ subject: dead }}\n    {keys}\n"
    );
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let file = sources.add("t", "", text);
    let root = parse(&sources, file, &mut diagnostics).expect("YAML");
    let entry = root.as_map().and_then(|map| map.get("streams"));
    let entry = entry.expect("streams");
    let streams = config::read(entry, Path::new(""), &mut diagnostics);
    streams.into_iter().next().expect("a stream")
}

/// Returns a message with this payload.
pub(crate) fn delivery(payload: &[u8]) -> Delivery {
    Delivery {
        position: Position::of_sequence(1),
        source: "test/1".to_owned(),
        receipt: "receipt".to_owned(),
        deliveries: 1,
        published: None,
        message: Message {
            payload: Bytes::copy_from_slice(payload),
            ..Message::default()
        },
    }
}
