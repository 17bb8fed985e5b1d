//! Records as messages, and letters as records.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};

use crate::core::Position;
use crate::message::{Delivery, Headers, Message, Parcel};

/// The header that has the identity.
const ID: &str = "motet-id";

/// Returns the offset of a record; brokers have none below 0.
pub(super) fn offset(record: &BorrowedMessage<'_>) -> u64 {
    u64::try_from(record.offset()).unwrap_or_default()
}

/// The place of a message, which its receipt has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) partition: u32,
    pub(super) offset: u64,
    /// The turn of this process with the partition.
    pub(super) turn: u64,
}

/// Returns a record as a message.
pub(super) fn delivery(record: &BorrowedMessage<'_>, place: Place, deliveries: u32) -> Delivery {
    let Place {
        partition, offset, ..
    } = place;
    let millis = record.timestamp().to_millis();
    let millis = millis.and_then(|millis| u64::try_from(millis).ok());
    let bytes = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    Delivery {
        position: Position {
            partition,
            place: offset,
            sub: 0,
        },
        source: format!("kafka:{}/{partition}/{offset}", record.topic()),
        receipt: place.receipt(),
        deliveries,
        published: millis.map(|millis| UNIX_EPOCH + Duration::from_millis(millis)),
        message: Message {
            payload: record.payload().map(bytes).unwrap_or_default(),
            headers: headers(record),
            subject: None,
            key: record.key().map(bytes),
        },
    }
}

fn headers(record: &BorrowedMessage<'_>) -> Headers {
    let found = record
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    found
        .map(|header| {
            (
                header.key.to_owned(),
                header.value.map(text).unwrap_or_default(),
            )
        })
        .collect()
}

/// Returns the headers of a letter.
pub(super) fn headers_of(parcel: &Parcel) -> OwnedHeaders {
    let id = (ID.to_owned(), parcel.id.clone());
    let all = parcel.headers.iter().chain(std::iter::once(&id));
    // A name with a zero byte has no place in the library.
    let fit = all.filter(|(name, _)| !name.contains('\0'));
    fit.fold(OwnedHeaders::new(), |headers, (name, value)| {
        headers.insert(Header {
            key: name,
            value: Some(value),
        })
    })
}

impl Place {
    fn receipt(self) -> String {
        format!("{}/{}/{}", self.partition, self.offset, self.turn)
    }

    /// Returns the place of a receipt.
    pub(super) fn of(receipt: &str) -> Option<Self> {
        let mut numbers = receipt.split('/');
        Some(Self {
            partition: numbers.next()?.parse().ok()?,
            offset: numbers.next()?.parse().ok()?,
            turn: numbers.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_has_the_place() {
        let place = Place {
            partition: 3,
            offset: u64::MAX,
            turn: 7,
        };
        assert_eq!(Place::of(&place.receipt()), Some(place));
        assert_eq!(Place::of("3/4"), None);
    }

    #[test]
    fn a_letter_has_its_headers_and_its_identity() {
        let headers = [("tag", "x"), ("tag", "y"), ("no\0name", "z")];
        let parcel = Parcel {
            place: "done".to_owned(),
            key: None,
            id: "4711".to_owned(),
            headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
            payload: Bytes::new(),
        };
        let written = headers_of(&parcel);
        let found = written
            .iter()
            .map(|header| (header.key, header.value.unwrap_or_default()));
        let found: Vec<_> = found.collect();
        let expected = [("tag", &b"x"[..]), ("tag", b"y"), (ID, b"4711")];
        assert_eq!(found, expected);
    }
}
