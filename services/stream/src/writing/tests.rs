use motet_rows::Code;
use serde_json::json;

use super::*;
use crate::testing::{delivery, spec};

fn header<'p>(parcel: &'p Parcel, name: &str) -> Option<&'p str> {
    let found = parcel.headers.iter().find(|(found, _)| found == name);
    found.map(|(_, value)| value.as_str())
}

fn message() -> Delivery {
    let mut delivery = delivery(b"{}");
    delivery.message.headers = [
        ("tenant", "t1"),
        ("Nats-Msg-Id", "x"),
        ("motet-attempts", "9"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    delivery
}

#[test]
fn an_answer_takes_along_what_is_named() {
    let answer = Answer {
        outputs: json!({ "label": "spam" })
            .as_object()
            .expect("an object")
            .clone(),
        degraded: vec!["rank".to_owned()],
        ..Answer::default()
    };
    let written = |keys: &str| {
        let writer = Writer::new(spec(keys), "p@1".to_owned());
        writer.answer(&message(), Some("k1"), &answer)
    };
    let plain = written("");
    assert_eq!(
        (plain.place.as_str(), &*plain.payload),
        ("done", &b"{\"label\":\"spam\"}"[..])
    );
    assert_eq!(
        (header(&plain, "tenant"), header(&plain, "key")),
        (None, None)
    );
    assert_eq!(header(&plain, DEGRADED_HEADER), Some("rank"));
    assert_eq!(header(&plain, SOURCE_HEADER), Some("test/1"));
    let full = written("to: { subject: done, with: [key, headers] }");
    assert_eq!(
        (header(&full, "tenant"), header(&full, "key")),
        (Some("t1"), Some("k1"))
    );
    assert_eq!(
        (
            header(&full, "Nats-Msg-Id"),
            header(&full, "motet-attempts")
        ),
        (None, None)
    );
    assert_eq!(plain.id, full.id);
}

#[test]
fn an_identity_is_that_of_message_pipeline_and_kind() {
    let (one, other) = (
        message(),
        Delivery {
            source: "test/2".to_owned(),
            ..message()
        },
    );
    let answer = Answer::default();
    let writer = |digest: &str| Writer::new(spec(""), digest.to_owned());
    let error = motet_rows::Failure::new(Code::Internal, "x").after(1);
    let ids = [
        writer("p@1").answer(&one, None, &answer).id,
        writer("p@1").answer(&other, None, &answer).id,
        writer("p@2").answer(&one, None, &answer).id,
        writer("p@1").dead(&one, &error).id,
    ];
    let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert_eq!(ids[0], writer("p@1").answer(&one, Some("key"), &answer).id);
}

#[test]
fn a_dead_letter_is_the_message_with_its_error() {
    let mut failure = motet_rows::Failure::new(Code::Internal, "two\nlines");
    failure.node = Some("rank".to_owned());
    let letter = Writer::new(spec(""), "p@1".to_owned()).dead(&message(), &failure.after(5));
    assert_eq!(
        (letter.place.as_str(), &*letter.payload),
        ("dead", &b"{}"[..])
    );
    for (name, expected) in [
        ("tenant", "t1"),
        (CODE_HEADER, "INTERNAL"),
        (MESSAGE_HEADER, "two lines"),
        (NODE_HEADER, "rank"),
        (ATTEMPTS_HEADER, "5"),
        (SOURCE_HEADER, "test/1"),
    ] {
        assert_eq!(header(&letter, name), Some(expected), "{name}");
    }
}
