use serde_json::json;

use super::*;
use crate::core::Position;
use crate::testing::{delivery, spec};

fn port(name: &str, kind: &str) -> Port {
    Port {
        name: name.to_owned(),
        kind: kind.parse().expect("a type"),
        required: true,
    }
}

/// Returns the inputs and the key of a message.
fn read(keys: &str, ports: &[Port], payload: &[u8]) -> (Result<Value, String>, Option<String>) {
    let reader = Reader::new(&spec(keys), ports).expect("a reader");
    let mut delivery = delivery(payload);
    delivery.message.headers = vec![("Key".to_owned(), "k1".to_owned())];
    delivery.message.subject = Some("tickets.new".to_owned());
    let prepared = reader.prepare(delivery);
    let inputs = prepared.row.and_then(|row| reader.inputs(&row));
    let inputs = inputs.map(Value::Object);
    (inputs.map_err(|failure| failure.to_string()), prepared.key)
}

#[test]
fn a_message_is_read_as_its_stream_says() {
    let text = [port("text", "string")];
    let body = br#"{ "text": "a", "n": 7, "body": { "text": "b", "id": 9 } }"#;
    for (keys, ports, expected, key) in [
        ("", &text[..], json!({ "text": "a" }), Some("k1")),
        ("key: $.body.id", &text, json!({ "text": "a" }), Some("9")),
        ("key: $.none", &text, json!({ "text": "a" }), None),
        (
            "key: subject",
            &text,
            json!({ "text": "a" }),
            Some("tickets.new"),
        ),
        ("key: \"header:none\"", &text, json!({ "text": "a" }), None),
        (
            "read: { text: $.body.text }",
            &text,
            json!({ "text": "b" }),
            Some("k1"),
        ),
        ("", &[port("n", "i32")], json!({ "n": 7 }), Some("k1")),
    ] {
        let found = read(keys, ports, body);
        assert_eq!(found, (Ok(expected), key.map(str::to_owned)), "{keys}");
    }
}

#[test]
fn a_whole_message_is_a_text_or_bytes() {
    for (kind, payload, expected) in [
        ("string", &b"hello"[..], Ok(json!({ "x": "hello" }))),
        ("bytes", b"\xff\x00", Ok(json!({ "x": "/wA=" }))),
        (
            "string",
            b"\xff",
            Err("INVALID_ARGUMENT: the message is not UTF-8 text".to_owned()),
        ),
    ] {
        assert_eq!(
            read("read: raw", &[port("x", kind)], payload).0,
            expected,
            "{kind}"
        );
    }
    let two = [port("a", "string"), port("b", "string")];
    let refused = Reader::new(&spec("read: raw"), &two).expect_err("two inputs");
    assert!(refused.to_string().contains("one input that must be there"));
    let refused = Reader::new(&spec("read: raw"), &[port("a", "i32")]).expect_err("a number");
    assert!(refused.to_string().contains("texts or bytes"));
}

#[test]
fn messages_of_one_key_have_one_lane() {
    let reader = Reader::new(&spec(""), &[port("text", "string")]).expect("a reader");
    let hash = |key: &str, place: u64| {
        let mut delivery = delivery(b"{}");
        delivery.position = Position::of_sequence(place);
        delivery.message.headers = vec![("key".to_owned(), key.to_owned())];
        reader.prepare(delivery).key_hash()
    };
    assert_eq!(hash("a", 1), hash("a", 2));
    assert_ne!(hash("a", 1), hash("b", 1));
    assert_eq!(reader.prepare(delivery(b"{}")).key_hash(), None);
}
