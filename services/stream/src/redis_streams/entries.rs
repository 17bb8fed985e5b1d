//! Entries of streams, read and written.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use redis::{FromRedisValue, RedisError, Value, from_redis_value};

use crate::core::Position;
use crate::message::{Message, Parcel};

/// The field that has the payload.
const PAYLOAD: &str = "data";
/// The field that has the identity.
const ID: &str = "motet-id";

/// The identity and the fields of an entry; one that was deleted has no fields.
type RawEntry = (String, Option<Vec<Vec<u8>>>);

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: String,
    /// Names and values, one after the other.
    fields: Vec<Vec<u8>>,
}

impl Entry {
    /// Returns its place: an identity is milliseconds and a number among those of one.
    pub(super) fn position(&self) -> Option<Position> {
        let (place, sub) = self.id.split_once('-')?;
        Some(Position {
            partition: 0,
            place: place.parse().ok()?,
            sub: sub.parse().ok()?,
        })
    }

    /// Returns the time at which it was added.
    pub(super) fn published(&self) -> SystemTime {
        let millis = self.position().map_or(0, |position| position.place);
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    pub(super) fn into_message(self) -> Message {
        let mut message = Message::default();
        let mut fields = self.fields.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            match name == PAYLOAD.as_bytes() {
                true => message.payload = Bytes::from(value),
                false => {
                    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                    message.headers.push((text(name), text(value)));
                }
            }
        }
        message
    }
}

/// Reads the reply of `XREADGROUP` for one stream.
pub(super) fn of_read(reply: Value) -> Result<Vec<Entry>, RedisError> {
    let streams: Option<Vec<(String, Vec<RawEntry>)>> = from_redis_value(reply)?;
    let entries = streams
        .into_iter()
        .flatten()
        .flat_map(|(_, entries)| entries);
    Ok(entries.filter_map(entry).collect())
}

/// Reads the reply of `XAUTOCLAIM`: where to go on, and the entries.
pub(super) fn of_claim(reply: Value) -> Result<(String, Vec<Entry>), RedisError> {
    let mut parts = Vec::<Value>::from_redis_value(reply)?.into_iter();
    let (next, entries) = (parts.next(), parts.next());
    let next = from_redis_value(next.unwrap_or(Value::Nil))?;
    let entries: Vec<Option<RawEntry>> =
        from_redis_value(entries.unwrap_or(Value::Array(Vec::new())))?;
    Ok((
        next,
        entries.into_iter().flatten().filter_map(entry).collect(),
    ))
}

fn entry((id, fields): RawEntry) -> Option<Entry> {
    Some(Entry {
        id,
        fields: fields?,
    })
}

/// Returns the fields of what is stored.
pub(super) fn fields(parcel: &Parcel) -> Vec<(&str, &[u8])> {
    let headers = parcel.headers.iter();
    let mut fields: Vec<(&str, &[u8])> = headers
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    fields.push((ID, parcel.id.as_bytes()));
    if !parcel.payload.is_empty() {
        fields.push((PAYLOAD, &parcel.payload));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn of_entry(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| bulk(field)).collect();
        Value::Array(vec![bulk(id), Value::Array(fields)])
    }

    #[test]
    fn an_entry_is_a_message() {
        let entry = of_entry("5-1", &["text", "hello", "data", "{}", "key", "k"]);
        let deleted = Value::Array(vec![bulk("5-2"), Value::Nil]);
        let entries = Value::Array(vec![entry.clone(), deleted]);
        let reply = Value::Array(vec![Value::Array(vec![bulk("tickets"), entries])]);
        let read = of_read(reply).expect("a reply");
        assert_eq!(read.len(), 1);
        let position = Position {
            partition: 0,
            place: 5,
            sub: 1,
        };
        assert_eq!(read[0].position(), Some(position));
        let message = read[0].clone().into_message();
        assert_eq!(message.payload, "{}");
        let headers = [("text", "hello"), ("key", "k")];
        assert_eq!(
            message.headers,
            headers.map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
        assert_eq!(of_read(Value::Nil).expect("nothing came"), []);
        let claim = Value::Array(vec![bulk("0-0"), Value::Array(vec![entry, Value::Nil])]);
        let (next, claimed) = of_claim(claim).expect("a reply");
        assert_eq!((next.as_str(), claimed), ("0-0", read));
    }
}
