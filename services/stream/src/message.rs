//! Messages of a broker, and what is stored of them.

use std::time::SystemTime;

use bytes::Bytes;

use crate::core::Position;

/// Names and values that a message has beside its payload.
pub type Headers = Vec<(String, String)>;

/// A message of a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Its payload.
    pub payload: Bytes,
    /// Its headers; of an entry of Redis, all fields but the payload.
    pub headers: Headers,
    /// Its subject, where brokers have such.
    pub subject: Option<String>,
    /// Its own key, where brokers have such.
    pub key: Option<Bytes>,
}

/// A message that a source delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the source.
    pub position: Position,
    /// The name of that place, the same each time, and no other message's.
    pub source: String,
    /// Handle that acknowledges this delivery.
    pub receipt: String,
    /// Number of its deliveries, this one included.
    pub deliveries: u32,
    /// The time at which it was published.
    pub published: Option<SystemTime>,
    /// The message.
    pub message: Message,
}

/// Content that is stored of a message: its answer, or itself as a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// A subject, the key of a stream, or a topic.
    pub place: String,
    /// The letter's own key, where brokers have such.
    pub key: Option<Bytes>,
    /// The identity: of two with the same one, the second has no effect.
    pub id: String,
    /// The headers.
    pub headers: Headers,
    /// The payload.
    pub payload: Bytes,
}

impl Message {
    /// Returns the value of a header; names are compared without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}
