//! Streams of requests and watches: what counts, what is refused, and how they end.

use motet_runtime::limits::Admission;
use motet_runtime::serve::{Drained, ServeOptions};
use motet_runtime::status::{self, Reason};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{Client, READ_TIMEOUT, TestServer, start_admitting};
use crate::test_service::{EACH, Event};

const WATCHES: &str = "motet_server_streams{kind=\"watches\"}";

async fn start(admission: Admission) -> TestServer {
    start_admitting(
        admission.reading_within(READ_TIMEOUT),
        ServeOptions::default(),
    )
    .await
}

type Open = (mpsc::Sender<String>, Streaming<String>);

/// Opens a stream whose requests run side by side.
async fn open(client: &Client) -> Result<Open, Status> {
    let (requests, messages) = mpsc::channel(8);
    let messages = tonic::Request::new(ReceiverStream::new(messages));
    Ok((requests, client.stream_of(EACH, messages).await?))
}

async fn ask(stream: &mut Open, text: &str) -> String {
    stream.0.send(text.to_owned()).await.expect("it is read");
    let answer = stream.1.message().await.expect("no error");
    answer.expect("an answer")
}

fn assert_refused(error: &Status, reason: Reason, key: &str, limit: &str) {
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    let details = status::read(error);
    assert_eq!(details.reason, reason.name());
    assert_eq!(details.metadata[key], limit, "{error}");
    assert!(error.message().contains(key), "{error}");
    assert!(details.retry_after.is_some(), "{error}");
}

#[tokio::test]
async fn idle_streams_hold_no_place_of_requests() {
    let server = start(Admission::new(2)).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let client = server.client().await;
        for _ in 0..50 {
            streams.push(open(&client).await.expect("it opens"));
        }
    }
    assert_eq!(server.admission.open_streams(), 100);
    assert_eq!(server.admission.in_flight(), 0);
    assert_eq!(
        server.client().await.say("x").await.expect("served"),
        "hello x"
    );
    assert_eq!(ask(&mut streams[7], "y").await, "hello y");
    assert_eq!(server.admission.in_flight(), 0);
    drop(streams);
    server
        .until("all are closed", |s| s.admission.open_streams() == 0)
        .await;
}

#[tokio::test]
async fn each_request_of_a_stream_has_a_place_or_its_own_refusal() {
    let mut server = start(Admission::new(2)).await;
    let client = server.client().await;
    let mut stream = open(&client).await.expect("it opens");
    for _ in 0..2 {
        stream.0.send("wait".to_owned()).await.expect("it is read");
        assert_eq!(server.next_event().await, Event::Began);
    }
    assert_eq!(server.admission.in_flight(), 2);
    let refusal = ask(&mut stream, "x").await;
    assert!(
        refusal.contains("limit of 2 concurrent requests"),
        "{refusal}"
    );
    let unary = client.say("x").await.expect_err("full");
    let key = "max_concurrent_requests";
    assert_refused(&unary, Reason::TooManyRequests, key, "2");
    server.release.send_replace(true);
    for _ in 0..2 {
        let answer = stream.1.message().await.expect("no error");
        assert_eq!(answer.as_deref(), Some("released"));
    }
    assert_eq!(ask(&mut stream, "y").await, "hello y");
    assert_eq!(server.admission.in_flight(), 0);
}

#[tokio::test]
async fn one_connection_cannot_have_all_places() {
    let mut server = start(Admission::new(9).per_connection(7)).await;
    let greedy = server.client().await;
    let mut calls = Vec::new();
    for _ in 0..6 {
        let greedy = greedy.clone();
        calls.push(tokio::spawn(async move { greedy.say("hang").await }));
        assert_eq!(server.next_event().await, Event::Began);
    }
    let error = greedy.say("x").await.expect_err("its share is two thirds");
    assert_refused(
        &error,
        Reason::TooManyRequests,
        "max_concurrent_requests",
        "9",
    );
    let other = server.client().await;
    assert_eq!(other.say("x").await.expect("there is room"), "hello x");
    let line = "motet_server_refused_total{reason=\"connection_concurrency\"}";
    assert_eq!(server.metric(line), 1);
}

#[tokio::test]
async fn streams_are_limited_in_all_and_for_a_connection() {
    let server = start(Admission::new(2).streams(6, 3)).await;
    let client = server.client().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(open(&client).await.expect("it opens"));
    }
    let error = open(&client).await.expect_err("it has three");
    let key = "max_request_streams_per_connection";
    assert_refused(&error, Reason::TooManyStreams, key, "3");
    for _ in 0..3 {
        streams.push(open(&server.client().await).await.expect("it opens"));
    }
    let error = open(&server.client().await)
        .await
        .expect_err("there are six");
    assert_refused(&error, Reason::TooManyStreams, "max_request_streams", "6");
    assert_eq!(client.say("x").await.expect("served"), "hello x");
    drop(streams);
    server
        .until("all are closed", |s| s.admission.open_streams() == 0)
        .await;
    open(&client).await.expect("there is room");
}

#[tokio::test]
async fn watches_are_limited_and_given_back_and_checks_are_not() {
    let server = start(Admission::new(2).watches(5, 3)).await;
    let watch = async |channel: &tonic::transport::Channel| {
        let request = HealthCheckRequest::default();
        HealthClient::new(channel.clone()).watch(request).await
    };
    for _ in 0..2 {
        let (one, two) = (server.channel().await, server.channel().await);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(watch(&one).await.expect("it begins"));
        }
        let error = watch(&one).await.expect_err("it has three");
        assert_refused(
            &error,
            Reason::TooManyWatches,
            "max_watches_per_connection",
            "3",
        );
        for _ in 0..2 {
            held.push(watch(&two).await.expect("it begins"));
        }
        let error = watch(&server.channel().await)
            .await
            .expect_err("there are five");
        assert_refused(&error, Reason::TooManyWatches, "max_watches", "5");
        let check = HealthClient::new(one)
            .check(HealthCheckRequest::default())
            .await;
        check.expect("checks have no limit");
        assert_eq!(server.metric(WATCHES), 5);
        drop((held, two));
        server
            .until("all are given back", |s| s.admission.open_watches() == 0)
            .await;
        assert_eq!(server.metric(WATCHES), 0);
    }
}

fn assert_draining(error: &Status) {
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert_eq!(status::read(error).reason, "DRAINING");
}

#[tokio::test]
async fn requests_that_come_to_a_busy_stream_during_a_shutdown_are_refused_one_by_one() {
    let mut server = start(Admission::new(100)).await;
    let client = server.client().await;
    let mut idle = open(&client).await.expect("it opens");
    let mut busy = open(&client).await.expect("it opens");
    busy.0.send("wait".to_owned()).await.expect("it is read");
    assert_eq!(server.next_event().await, Event::Began);
    server.shutdown.cancel();
    while TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_draining(&idle.1.message().await.expect_err("nothing is in flight"));
    for _ in 0..5 {
        let refusal = ask(&mut busy, "x").await;
        assert!(refusal.contains("the server is shutting down"), "{refusal}");
    }
    assert!(!server.task.is_finished(), "a request is in flight");
    server.release.send_replace(true);
    let answer = busy.1.message().await.expect("no error");
    assert_eq!(answer.as_deref(), Some("released"));
    assert_draining(&busy.1.message().await.expect_err("nothing is in flight"));
    assert_eq!(server.task.await.expect("ran"), Drained { dropped: 0 });
}
