use motet_config::{Colour, Diagnostics, Sources, parse};

use super::*;

const GOOD: &str = "\
streams:
  - stream: tickets
    pipeline: classify
    from: { nats: \"nats://broker:4222\", stream: TICKETS, consumer: motet }
    read: { text: $.body.text }
    to: { subject: tickets.done, with: [key, headers] }
    dead: { subject: tickets.dead, after: 3 }
    key: $.customer
    order: key
    in_flight: 64
    chunk: { max: 16, within: 20ms }
    priority: bulk
";

fn read_text(text: &str) -> (Vec<StreamSpec>, String) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let file = sources.add("motet.yaml", "", text);
    let root = parse(&sources, file, &mut diagnostics).expect("YAML");
    let entry = root.as_map().and_then(|map| map.get("streams"));
    let streams = read(entry.expect("streams"), Path::new(""), &mut diagnostics);
    (streams, diagnostics.render(&sources, Colour::Never))
}

fn good() -> (Vec<StreamSpec>, String) {
    let (streams, report) = read_text(GOOD);
    let lacks = "this program was built without";
    assert!(report.is_empty() || report.contains(lacks), "{report}");
    (streams, report)
}

#[test]
fn every_key_is_read() {
    let (streams, _) = good();
    let [stream] = streams.as_slice() else {
        panic!("{streams:?}");
    };
    let BrokerSpec::Nats(nats) = &stream.from else {
        panic!("{stream:?}");
    };
    assert_eq!(
        (nats.stream.as_str(), nats.consumer.as_str()),
        ("TICKETS", "motet")
    );
    assert_eq!(nats.access.shown, "nats://broker:4222");
    let map = ReadSpec::Map(vec![("text".to_owned(), "$.body.text".to_owned())]);
    assert_eq!(stream.read.value, map);
    assert_eq!(stream.key, KeySpec::Path("customer".to_owned()));
    assert!(stream.to.with_key && stream.to.with_headers);
    assert_eq!(stream.dead.after, 3);
    assert_eq!(stream.chunk.as_ref().map(|chunk| chunk.value.max), Some(16));
    let settings = stream.settings;
    assert_eq!((settings.order, settings.in_flight), (Order::Key, 64));
    assert!(settings.is_bulk);
}

#[test]
fn a_broker_that_is_not_built_in_is_named_with_its_feature() {
    let (_, report) = good();
    let expected = "built without NATS";
    assert_eq!(
        report.contains(expected),
        !cfg!(feature = "nats"),
        "{report}"
    );
    assert_eq!(
        report.contains("its feature `nats`"),
        !cfg!(feature = "nats"),
        "{report}"
    );
}

#[test]
fn mistakes_are_told_with_what_helps() {
    for (from, to, expected) in [
        ("    pipeline: classify\n", "", "needs the key `pipeline`"),
        ("stream: tickets", "stream: Tickets", "`tickets` would do"),
        ("in_flight: 64", "in_flight: 0", "between 1 and 65536"),
        (
            "in_flight: 64",
            "in_flight: 8",
            "`chunk.max` is 16, but only 8",
        ),
        ("order: key", "order: partition", "contradict each other"),
        ("order: key", "order: keys", "did you mean `key`?"),
        (
            "priority: bulk",
            "prority: bulk",
            "did you mean `priority`?",
        ),
        ("max: 16", "max: 1", "between 2 and 4096"),
        ("$.body.text", "body", "`body` is no path"),
        ("key: $.customer", "key: customer", "write `header:NAME`"),
        (
            "subject: tickets.done",
            "subject: \"tickets.*\"",
            "without `*` and `>`",
        ),
        (
            "subject: tickets.done",
            "key: done",
            "needs the key `subject`",
        ),
        (
            "with: [key, headers]",
            "with: [keys]",
            "did you mean `key`?",
        ),
        ("after: 3", "after: 0", "between 1 and 1000"),
        (
            "nats://broker",
            "redis://broker",
            "`nats` must be an address such as",
        ),
        (
            "nats://broker",
            "nats://me:word@broker",
            "the address has a password",
        ),
        (
            "consumer: motet",
            "password: word",
            "`password` is a secret",
        ),
        ("consumer: motet", "redis: x", "names two brokers"),
        (
            "{ nats: \"nats://broker:4222\", ",
            "{ ",
            "`from` names no broker",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let (_, report) = read_text(&GOOD.replace(from, to));
        assert!(report.contains(expected), "{from} -> {to}\n{report}");
    }
    let twice = format!("{GOOD}{}", &GOOD["streams:\n".len()..]);
    assert!(
        read_text(&twice)
            .1
            .contains("two streams are named `tickets`")
    );
    let (_, report) = read_text("streams:\n  - { stream: a, x: 1 }");
    assert!(report.contains("5 errors"), "{report}");
}

#[test]
fn a_stream_of_redis_has_keys_and_fields() {
    let (streams, report) = read_text(
        "streams:\n  - stream: t\n    pipeline: p\n    \
         from: { redis: \"redis://${env:HOST:-b}:6379\", key: tickets, group: g }\n    \
         to: { key: done }\n    dead: { key: dead }\n",
    );
    assert!(
        report.is_empty() || report.contains("without Redis"),
        "{report}"
    );
    let stream = streams.first().expect("a stream");
    assert_eq!(stream.read.value, ReadSpec::Fields);
    assert_eq!(
        (stream.dead.after, stream.to.place.value.as_str()),
        (5, "done")
    );
}

const KAFKA: &str = "\
streams:
  - stream: t
    pipeline: p
    from: { kafka: \"kafka://a:9092,b:9092\", topic: tickets, group: g, consumer: one }
    to: { topic: tickets.done, with: [key] }
    dead: { topic: tickets.dead }
";

#[test]
fn a_stream_of_kafka_has_topics_and_keys_of_its_own() {
    let (streams, report) = read_text(KAFKA);
    assert!(
        report.is_empty() || report.contains("without Kafka"),
        "{report}"
    );
    let [stream] = streams.as_slice() else {
        panic!("{streams:?}");
    };
    let BrokerSpec::Kafka(kafka) = &stream.from else {
        panic!("{stream:?}");
    };
    assert_eq!(
        (kafka.topic.as_str(), kafka.group.as_str()),
        ("tickets", "g")
    );
    assert_eq!(kafka.access.shown, "kafka://a:9092,b:9092");
    assert_eq!(
        (&stream.key, &stream.read.value),
        (&KeySpec::Record, &ReadSpec::Json)
    );
    assert_eq!(stream.to.place.value, "tickets.done");
}

#[test]
fn mistakes_of_kafka_are_told_with_what_helps() {
    let user = "user: me, password: \"${env:WORD}\"";
    let scram = format!("{user}, sasl: scram-sha-512");
    let lacks_tls = match cfg!(feature = "kafka-tls") {
        true => "",
        false => "its feature `kafka-tls`",
    };
    for (from, to, expected) in [
        ("topic: tickets,", "", "needs the key `topic`"),
        (
            "topic: tickets,",
            "topics: tickets,",
            "did you mean `topic`?",
        ),
        ("topic: tickets,", "topic: a/b,", "letters, digits"),
        (
            "topic: tickets.done",
            "subject: done",
            "needs the key `topic`",
        ),
        ("topic: tickets.dead", "topic: \"x y\"", "letters, digits"),
        (
            "kafka://a",
            "http://a",
            "an address such as `kafka://host:port`",
        ),
        (
            "kafka://a",
            "kafka://${env:X}@a",
            "has no user and no password",
        ),
        ("kafka://a:9092,b:9092", "tls://a:9092", lacks_tls),
        ("consumer: one", "user: me", "both `user` and `password`"),
        (
            "consumer: one",
            "sasl: plain",
            "`sasl` is for `user` and `password`",
        ),
        (
            "consumer: one",
            "sasl: scram",
            "and `scram-sha-512`, not `scram`",
        ),
        ("consumer: one", &scram, lacks_tls),
        ("consumer: one", "tls: {}", "write `tls://`"),
        ("consumer: one", "nats: x", "names two brokers"),
    ] {
        assert!(KAFKA.contains(from), "{from}");
        let (_, report) = read_text(&KAFKA.replacen(from, to, 1));
        assert!(report.contains(expected), "{from} -> {to}\n{report}");
    }
}

#[test]
fn the_documentation_has_every_key_with_default_and_range() {
    let page = include_str!("../../../runtime/docs/configuration.md");
    for row in keys::describe(&KEYS) {
        assert!(page.contains(&row), "missing in the page: {row}");
    }
}
