//! NATS JetStream: what a stream does with messages.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};
use motet_tests::brokers::Broker;
use motet_tests::collector::{Collector, Span};
use motet_tests::http::{Metrics, get};
use motet_tests::wait::until;
use serde_json::{Value, json};

use super::Configured;
use super::ledger::Ledger;

/// A NATS server with the streams of these tests: TICKETS, DONE and DEAD.
pub(super) struct Nats {
    pub(super) broker: Broker,
    pub(super) context: Context,
}

/// A letter that was stored.
pub(super) struct Stored {
    pub(super) payload: Value,
    pub(super) headers: HeaderMap,
}

impl Stored {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str())
    }

    /// Returns the number of the message that it is of: 7 for `m7` and `m7!`.
    pub(super) fn number(&self) -> usize {
        let text = self
            .payload
            .get("loud")
            .or_else(|| self.payload.get("text"));
        let text = text.and_then(Value::as_str).expect("a text");
        text.trim_matches(['m', '!']).parse().expect("a number")
    }
}

impl Nats {
    pub(super) async fn start() -> Option<Self> {
        let broker = Broker::nats().await?;
        let context = connect(broker.address).await;
        for (name, subject) in [
            ("TICKETS", "tickets.new"),
            ("DONE", "tickets.done"),
            ("DEAD", "tickets.dead"),
        ] {
            let config = Config {
                name: name.to_owned(),
                subjects: vec![subject.to_owned()],
                ..Config::default()
            };
            context.create_stream(config).await.expect("a stream");
        }
        Some(Self { broker, context })
    }

    /// Returns a stream of a configuration, with more keys.
    pub(super) fn stream(&self, more: &str) -> String {
        stream_at(self.broker.address, more)
    }

    pub(super) async fn send(&self, payload: &str, headers: &[(&str, &str)]) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let payload = payload.to_owned().into();
        let sent = self
            .context
            .publish_with_headers("tickets.new", map, payload)
            .await;
        sent.expect("sent").await.expect("kept");
    }

    /// Sends messages `m0`, `m1` and so on.
    pub(super) async fn send_numbers(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let key = format!("k{}", number % 5);
            let text = format!("{{\"text\":\"m{number}\"}}");
            self.send(&text, &[("key", &key)]).await;
        }
    }

    pub(super) async fn count(&self, stream: &str) -> u64 {
        let stream = self.context.get_stream(stream).await;
        stream.map_or(0, |stream| stream.cached_info().state.messages)
    }

    /// Waits until a stream has so many letters.
    pub(super) async fn has(&self, stream: &str, count: u64) {
        let all = async || (self.count(stream).await >= count).then_some(());
        until(&format!("{count} letters in {stream}"), all).await;
    }

    /// Waits until the source has nothing left, delivered or not.
    pub(super) async fn is_empty(&self) {
        until("an empty source", async || {
            let stream = self.context.get_stream("TICKETS").await.ok()?;
            let info = stream.consumer_info("motet").await.ok()?;
            (info.num_pending == 0 && info.num_ack_pending == 0).then_some(())
        })
        .await;
    }

    pub(super) async fn letters(&self, stream: &str) -> Vec<Stored> {
        let stream = self.context.get_stream(stream).await.expect("a stream");
        let mut letters = Vec::new();
        for sequence in 1..=stream.cached_info().state.messages {
            let letter = stream.get_raw_message(sequence).await.expect("a letter");
            letters.push(Stored {
                payload: serde_json::from_slice(&letter.payload).unwrap_or(Value::Null),
                headers: letter.headers,
            });
        }
        letters
    }

    pub(super) async fn ledger(&self, stream: &str) -> Ledger {
        let mut ledger = Ledger::default();
        for letter in self.letters(stream).await {
            ledger.add(letter.number());
        }
        ledger
    }
}

pub(super) fn stream_at(address: SocketAddr, more: &str) -> String {
    format!(
        "  - stream: tickets\n    pipeline: shout\n    \
         from: {{ nats: \"nats://{address}\", stream: TICKETS, consumer: motet }}\n    \
         to: {{ subject: tickets.done, with: [key, headers] }}\n    \
         dead: {{ subject: tickets.dead, after: 3 }}\n{more}"
    )
}

async fn connect(address: SocketAddr) -> Context {
    let client = async_nats::connect(address.to_string()).await;
    let mut context = jetstream::new(client.expect("a connection"));
    context.set_timeout(Duration::from_secs(5));
    context
}

#[tokio::test]
async fn messages_are_answered_with_their_headers_and_counted() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    nats.send_numbers(0..50).await;
    nats.send(
        "{\"text\":\"m50\"}",
        &[("key", "k"), ("tenant", "t1"), ("motet-x", "y")],
    )
    .await;
    let file = Configured::new(&nats.stream("    in_flight: 8\n    ack_wait: 2s\n"));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    nats.has("DONE", 51).await;
    nats.is_empty().await;
    nats.ledger("DONE").await.is_exactly(0..51);
    let letters = nats.letters("DONE").await;
    let last = letters
        .iter()
        .find(|letter| letter.number() == 50)
        .expect("it is there");
    assert_eq!(last.payload, json!({ "loud": "m50!" }));
    let headers = ["key", "tenant", "motet-x", "motet-pipeline"].map(|name| last.header(name));
    assert_eq!(headers, [Some("k"), Some("t1"), None, Some("shout")]);
    let source = last.header("motet-source").expect("a source");
    assert!(
        source.starts_with("nats:TICKETS@") && source.ends_with("/51"),
        "{source}"
    );
    until("the counts", async || {
        let metrics = Metrics::read(http).await;
        let count = |name| metrics.value(name, &[("stream", "tickets")]);
        let found = [
            count("motet_stream_answered_total"),
            count("motet_stream_connected"),
            count("motet_stream_in_flight"),
            count("motet_stream_lag"),
            count("motet_stream_dead_total"),
        ];
        (found == [51.0, 1.0, 0.0, 0.0, 0.0].map(Some)).then_some(())
    })
    .await;
    assert_eq!(get(http, "/readyz").await.expect("HTTP").0, 200);
}

#[tokio::test]
async fn poison_goes_to_the_dead_letters_with_its_error_and_blocks_nobody() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    let poison = [
        ("no JSON", "the message is not JSON"),
        ("[]", "but no object"),
        ("{\"txt\":\"m1\"}", "input `text`"),
        ("{\"text\":7}", "string"),
    ];
    for (payload, _) in poison {
        nats.send(
            payload,
            &[("tenant", "t1"), ("Nats-Expected-Stream", "TICKETS")],
        )
        .await;
    }
    nats.send_numbers(0..20).await;
    // One at a time: each of them would block all others.
    let file = Configured::new(&nats.stream("    in_flight: 1\n"));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    nats.has("DONE", 20).await;
    nats.is_empty().await;
    nats.ledger("DONE").await.is_exactly(0..20);
    let dead = nats.letters("DEAD").await;
    assert_eq!(dead.len(), poison.len());
    let mut raw = Vec::new();
    let stream = nats.context.get_stream("DEAD").await.expect("a stream");
    for sequence in 1..=poison.len() as u64 {
        raw.push(
            stream
                .get_raw_message(sequence)
                .await
                .expect("a letter")
                .payload,
        );
    }
    for (at, (payload, reason)) in poison.into_iter().enumerate() {
        let letter = &dead[at];
        assert_eq!(raw[at], payload.as_bytes(), "the message as it was");
        assert_eq!(
            letter.header("motet-error-code"),
            Some("INVALID_ARGUMENT"),
            "{payload}"
        );
        let message = letter.header("motet-error-message").expect("a message");
        assert!(message.contains(reason), "{payload}: {message}");
        assert_eq!(letter.header("motet-attempts"), Some("1"));
        assert_eq!(letter.header("tenant"), Some("t1"));
        let source = letter.header("motet-source").expect("a source");
        assert!(source.ends_with(&format!("/{}", at + 1)), "{source}");
    }
    let metrics = Metrics::read(http).await;
    let labels = [("stream", "tickets")];
    assert_eq!(metrics.count("motet_stream_dead_total", &labels), 4.0);
    let attempts = [("stream", "tickets"), ("kind", "attempt")];
    assert_eq!(metrics.count("motet_stream_errors_total", &attempts), 4.0);
}

#[tokio::test]
async fn a_drain_takes_no_more_and_leaves_nothing_half() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    nats.send_numbers(0..2000).await;
    // Whatever a drain forgets comes back after this test is over.
    let file = Configured::new(&nats.stream("    ack_wait: 10m\n    in_flight: 64\n"));
    let mut motet = file.start();
    motet.ready_http().await;
    nats.has("DONE", 100).await;
    motet.signal("TERM");
    let ended = motet.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let answered = nats.count("DONE").await;
    assert!(answered < 2000, "all were answered before the drain");
    let stream = nats.context.get_stream("TICKETS").await.expect("a stream");
    let info = stream.consumer_info("motet").await.expect("a consumer");
    // Given back, they wait for nobody.
    assert_eq!(
        answered + info.num_pending + info.num_ack_pending as u64,
        2000
    );
    let mut motet = file.start();
    motet.ready_http().await;
    nats.has("DONE", 2000).await;
    nats.is_empty().await;
    nats.ledger("DONE").await.is_exactly(0..2000);
}

#[tokio::test]
async fn streams_run_inside_up_and_end_before_it() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    nats.send_numbers(0..300).await;
    let file = Configured::new(&nats.stream(""));
    let file = file.file.to_str().expect("ASCII");
    let mut up = crate::motet(["up", "-f", file]).on_free_ports().start();
    let at = up.ready().await;
    nats.has("DONE", 300).await;
    nats.is_empty().await;
    nats.ledger("DONE").await.is_exactly(0..300);
    let metrics = Metrics::read(at.http.expect("HTTP")).await;
    assert_eq!(
        metrics.count("motet_stream_answered_total", &[("stream", "tickets")]),
        300.0
    );
    up.signal("TERM");
    let ended = up.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the stream has ended"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn the_pipeline_may_be_at_a_server() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    nats.send_numbers(0..100).await;
    let pipelines = Configured::new("");
    let file = pipelines.file.to_str().expect("ASCII");
    let mut server = crate::motet(["up", "-f", file]).on_free_ports().start();
    let to = server.ready().await.grpc.to_string();
    let folder = motet_tests::temp_dir::TempDir::new();
    let streams = format!("streams:\n{}", nats.stream("    priority: bulk\n"));
    let streams = folder.file("streams.yaml", streams);
    let streams = streams.to_str().expect("ASCII");
    let args = ["stream", streams, "--to", &to, "--http", "127.0.0.1:0"];
    let mut motet = crate::motet(args).start();
    motet.ready_http().await;
    nats.has("DONE", 50).await;
    // Without it, what is in flight waits, and is no dead letter.
    server.kill().await;
    nats.send_numbers(100..150).await;
    let restarted = crate::motet(["up", "-f", file, "--grpc", &to, "--http", "off"]);
    let mut server = restarted.start();
    server.prints("ready").await;
    nats.has("DONE", 150).await;
    nats.is_empty().await;
    nats.ledger("DONE").await.is_exactly(0..150);
    assert_eq!(nats.count("DEAD").await, 0);
}

#[tokio::test]
async fn chunks_are_one_request_of_many_rows() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    let lists = "\
pipelines:
  - pipeline: shout
    inputs: { text: \"string[N]\" }
    nodes: { loud: { op: template, in: { text: $text }, with: { text: \"{text}!\" } } }
    outputs: { loud: $loud.out }
";
    nats.send_numbers(0..100).await;
    nats.send("{\"text\":7}", &[]).await;
    nats.send_numbers(100..200).await;
    let folder = motet_tests::temp_dir::TempDir::new();
    let stream = nats.stream("    chunk: { max: 32, within: 50ms }\n");
    let file = folder.file("streams.yaml", format!("{lists}streams:\n{stream}"));
    let file = file.to_str().expect("ASCII");
    let mut motet = crate::motet(["stream", file, "--http", "127.0.0.1:0"]).start();
    let http = motet.ready_http().await;
    nats.has("DONE", 200).await;
    nats.is_empty().await;
    nats.ledger("DONE").await.is_exactly(0..200);
    assert_eq!(
        nats.letters("DONE").await[0]
            .payload
            .as_object()
            .map(|o| o.len()),
        Some(1)
    );
    assert_eq!(nats.count("DEAD").await, 1);
    let metrics = Metrics::read(http).await;
    let requests = metrics.count("motet_pipeline_requests_total", &[("pipeline", "shout")]);
    assert!(requests < 100.0, "{requests} requests for 200 messages");
}

#[tokio::test]
async fn a_call_belongs_to_the_trace_of_its_message() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PUBLISHER: &str = "00f067aa0ba902b7";
    let Some(nats) = Nats::start().await else {
        return;
    };
    let parent = format!("00-{TRACE}-{PUBLISHER}-01");
    nats.send("{\"text\":\"m1\"}", &[("traceparent", &parent)])
        .await;
    let collector = Collector::start().await;
    let file = Configured::new(&nats.stream(""));
    let mut motet = collector.attach(file.program()).start();
    motet.ready_http().await;
    let of_call = |span: &Span| {
        let is_ours = span.trace == TRACE && span.parent == PUBLISHER;
        is_ours && span.name == "motet.pipeline.Shout/Run"
    };
    let all = |spans: &[Span]| spans.iter().any(of_call);
    collector.until("the span of the call", all).await;
}
