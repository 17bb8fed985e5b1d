//! Headers of messages.

use async_nats::header::{HeaderMap, HeaderName, HeaderValue, NATS_MESSAGE_ID};

use crate::message::Headers;

/// Returns the headers of a message.
pub(super) fn read(headers: Option<&HeaderMap>) -> Headers {
    let headers = headers.into_iter().flat_map(HeaderMap::iter);
    let each = headers.flat_map(|(name, values)| {
        let name = name.to_string();
        values
            .iter()
            .map(move |value| (name.clone(), value.as_str().to_owned()))
    });
    each.collect()
}

/// Returns headers for a message of this identity, without those that NATS cannot have.
pub(super) fn write(headers: &Headers, id: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            map.append(name, value);
        }
    }
    map.insert(NATS_MESSAGE_ID, id);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_were_written() {
        let headers = vec![
            ("key".to_owned(), "a b".to_owned()),
            ("tag".to_owned(), "x".to_owned()),
            ("tag".to_owned(), "y".to_owned()),
        ];
        let mut more = headers.clone();
        more.push(("no name:".to_owned(), "z".to_owned()));
        more.push(("broken".to_owned(), "two\r\nlines".to_owned()));
        let written = write(&more, "id");
        let mut found = read(Some(&written));
        found.retain(|(name, _)| name != "Nats-Msg-Id");
        found.sort();
        assert_eq!(found, headers);
        assert_eq!(read(None), Vec::new());
    }
}
