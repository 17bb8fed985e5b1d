//! Records and letters, as they come and go.

use std::time::Duration;

use motet_tests::brokers::free_address;
use motet_tests::http::{Metrics, get};
use motet_tests::tcp_proxy::TcpProxy;
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::until;
use serde_json::json;

use super::super::Configured;
use super::{Tansu, stream_at};

#[tokio::test]
async fn records_are_answered_once_with_key_and_headers() {
    let Some(tansu) = Tansu::start().await else {
        return;
    };
    let topics = &tansu.topics;
    topics.send(
        0,
        "{\"text\":\"m0\"}",
        &[("tenant", "t1"), ("motet-x", "y")],
    );
    topics.send_numbers(1..200).await;
    let file = Configured::new(&stream_at(&topics.hosts, "    in_flight: 8\n"));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    topics.has("done", 200).await;
    topics.are_done(200).await;
    topics.ledger("done").await.is_exactly(0..200);
    let letters = topics.letters("done").await;
    let first = letters
        .iter()
        .find(|letter| letter.json() == json!({ "loud": "m0!" }));
    let first = first.expect("a letter");
    assert_eq!(first.key.as_deref(), Some(&b"k0"[..]));
    let headers = ["tenant", "motet-x", "motet-pipeline", "motet-source"];
    let found = headers.map(|name| first.header(name));
    let expected = [Some("t1"), None, Some("shout"), Some("kafka:tickets/0/0")];
    assert_eq!(found, expected);
    assert_eq!(first.header("motet-id").map(str::len), Some(32));
    until("the counts", async || {
        let metrics = Metrics::read(http).await;
        let count = |name| metrics.value(name, &[("stream", "tickets")]);
        let found = [
            count("motet_stream_answered_total"),
            count("motet_stream_connected"),
            count("motet_stream_in_flight"),
            count("motet_stream_dead_total"),
            count("motet_stream_redelivered_total"),
        ];
        (found == [200.0, 1.0, 0.0, 0.0, 0.0].map(Some)).then_some(())
    })
    .await;
    assert_eq!(get(http, "/readyz").await.expect("HTTP").0, 200);
    motet.signal("TERM");
    assert_eq!(motet.end().await.code, Some(0));
}

#[tokio::test]
async fn poison_goes_to_the_dead_letters_with_its_error_and_blocks_nobody() {
    let Some(tansu) = Tansu::start().await else {
        return;
    };
    let topics = &tansu.topics;
    let poison = [
        ("no JSON", "the message is not JSON"),
        ("[]", "but no object"),
        ("{\"txt\":\"m1\"}", "input `text`"),
        ("{\"text\":7}", "string"),
    ];
    for (payload, _) in poison {
        topics.send(0, payload, &[("tenant", "t1")]);
    }
    topics.send_numbers(0..20).await;
    // One at a time: each of them would block all others.
    let file = Configured::new(&stream_at(&topics.hosts, "    in_flight: 1\n"));
    let mut motet = file.start();
    motet.ready_http().await;
    topics.has("done", 20).await;
    topics.are_done(24).await;
    topics.ledger("done").await.is_exactly(0..20);
    let dead = topics.letters("dead").await;
    assert_eq!(dead.len(), poison.len());
    for (letter, (payload, reason)) in dead.iter().zip(poison) {
        assert_eq!(letter.payload, payload.as_bytes(), "the message as it was");
        assert_eq!(letter.key.as_deref(), Some(&b"k0"[..]));
        let headers = ["motet-error-code", "motet-attempts", "tenant"];
        let expected = [Some("INVALID_ARGUMENT"), Some("1"), Some("t1")];
        assert_eq!(headers.map(|name| letter.header(name)), expected);
        let message = letter.header("motet-error-message").expect("a message");
        assert!(message.contains(reason), "{payload}: {message}");
    }
}

#[tokio::test]
async fn slow_work_is_no_reason_to_leave_the_group() {
    let Some(tansu) = Tansu::start().await else {
        return;
    };
    let topics = &tansu.topics;
    topics.send_numbers(0..6).await;
    let pipelines = Configured::new("");
    let file = pipelines.file.to_str().expect("ASCII");
    let mut server = crate::motet(["up", "-f", file]).on_free_ports().start();
    let behind = server.ready().await.grpc;
    // A call takes twice that, longer than a member of the group may be without a poll.
    let slow = TcpProxy::start(behind, Duration::from_secs(2)).await;
    let folder = TempDir::new();
    let stream = stream_at(&topics.hosts, "    ack_wait: 1s\n    in_flight: 3\n");
    let streams = folder.file("streams.yaml", format!("streams:\n{stream}"));
    let streams = streams.to_str().expect("ASCII");
    let to = slow.address.to_string();
    let args = ["stream", streams, "--to", &to, "--http", "127.0.0.1:0"];
    let program = crate::motet(args).env("RUST_LOG", "info,librdkafka=debug");
    let mut motet = program.start();
    let http = motet.ready_http().await;
    topics.has("done", 6).await;
    topics.are_done(6).await;
    topics.ledger("done").await.is_exactly(0..6);
    let metrics = Metrics::read(http).await;
    let again = metrics.count("motet_stream_redelivered_total", &[("stream", "tickets")]);
    assert_eq!(again, 0.0);
    motet.signal("TERM");
    let ended = motet.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // The library's words for a member that is away from its polls for too long.
    assert!(!ended.stderr.contains("MAXPOLL"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for() {
    let file = Configured::new(&stream_at(&free_address().to_string(), ""));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    motet.says("cannot be reached").await;
    assert_eq!(get(http, "/readyz").await.expect("HTTP").0, 503);
    motet.signal("TERM");
    let ended = motet.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
