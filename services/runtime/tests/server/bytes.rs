//! Bytes in flight: of messages that do not end, of answers that nobody takes, of bodies that
//! nobody reads.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use motet_runtime::serve::ServeOptions;
use motet_runtime::status;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::harness::{Client, TestServer, start_with};
use crate::test_service::{EACH, Event, LARGE, UNARY};

const BUDGET: usize = 1 << 20;
const HELD: &str = "motet_server_bytes_in_flight_bytes";

fn options() -> ServeOptions {
    ServeOptions {
        max_bytes_in_flight: BUDGET,
        write_timeout: Duration::from_millis(300),
        ..ServeOptions::default()
    }
}

/// The bytes of a message: its length, and its text.
fn framed(text: &str) -> Bytes {
    let message = text.to_owned().encode_to_vec();
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[0], &length[..], &message].concat().into()
}

/// A body of these bytes, after which nothing comes.
fn unfinished(bytes: Bytes) -> Body {
    let parts: Vec<_> = (0..bytes.len())
        .step_by(10_000)
        .map(|at| bytes.slice(at..bytes.len().min(at + 10_000)))
        .map(|part| Ok::<_, Infallible>(Frame::data(part)))
        .collect();
    let parts = tokio_stream::iter(parts);
    Body::new(StreamBody::new(parts.chain(tokio_stream::pending())))
}

fn error_of(answer: &Response<Incoming>) -> Status {
    Status::from_header_map(answer.headers()).expect("an error at once")
}

async fn is_served(server: &TestServer) {
    let answer = server.client().await.say("x").await;
    assert_eq!(answer.expect("others are served"), "hello x");
}

#[tokio::test]
async fn messages_that_stop_before_their_end_stay_within_the_budget() {
    let server = start_with(100, options()).await;
    let message = framed(&"x".repeat(400_000));
    let begun = message.slice(..message.len() - 1);
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(server.client().await);
    }
    let uploads = join_all(
        clients
            .iter()
            .map(|c| c.bytes(LARGE, unfinished(begun.clone()))),
    );
    let mut uploads = Box::pin(uploads);
    // Held back: eight times this would be three times the budget.
    let full = server.until("the budget fills", |s| {
        s.metric(HELD) as usize > BUDGET * 3 / 4
    });
    tokio::select! {
        _ = &mut uploads => panic!("none is answered yet"),
        () = full => {}
    }
    for _ in 0..20 {
        is_served(&server).await;
        // Each connection may pass its part by a frame.
        let held = server.metric(HELD) as usize;
        assert!(held <= BUDGET + 8 * (16 << 10), "{held}");
    }
    let reasons: Vec<_> = uploads
        .await
        .iter()
        .map(|answer| status::read(&error_of(answer)).reason)
        .collect();
    let refused = reasons.iter().filter(|r| *r == "TOO_MANY_BYTES").count();
    let slow = reasons.iter().filter(|r| *r == "REQUEST_TOO_SLOW").count();
    assert!(refused > 0 && refused + slow == 8, "{reasons:?}");
    let line = "motet_server_refused_total{reason=\"bytes\"}";
    assert_eq!(server.metric(line), refused as u64);
    assert_eq!(server.metric(HELD), 0);
    is_served(&server).await;
}

#[tokio::test]
async fn one_connection_cannot_take_the_budget() {
    let mut server = start_with(100, options()).await;
    let greedy = server.client().await;
    let message = framed(&format!("size {}", "0".repeat(200_000)));
    let begun = message.slice(..message.len() - 1);
    let uploads: Vec<_> = (0..8)
        .map(|_| {
            let (greedy, begun) = (greedy.clone(), begun.clone());
            tokio::spawn(async move { greedy.bytes(LARGE, unfinished(begun)).await })
        })
        .collect();
    server
        .until("its share is used", |s| {
            s.metric(HELD) as usize > BUDGET / 2
        })
        .await;
    let text = "x".repeat(BUDGET / 8);
    let other = server.client().await;
    let answer = other.unary(LARGE, tonic::Request::new(text)).await;
    assert!(answer.expect("there is room").starts_with("hello xxx"));
    assert_eq!(server.next_event().await, Event::Began);
    for upload in uploads {
        upload.abort();
    }
    server
        .until("all is given back", |s| s.metric(HELD) == 0)
        .await;
}

#[tokio::test]
async fn answers_that_nobody_takes_count_and_are_ended() {
    let server = start_with(100, options()).await;
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings.initial_stream_window_size(1000);
    let mut answers = Vec::new();
    let mut refused = 0;
    for _ in 0..8 {
        let client = Client::connect_with(server.addr, &settings).await;
        let request = Body::new(http_body_util::Full::new(framed("size 300000")));
        let answer = client.bytes(UNARY, request).await;
        answers.push((client, answer));
        is_served(&server).await;
    }
    let held = server.metric(HELD) as usize;
    assert!((BUDGET / 2..=BUDGET).contains(&held), "{held}");
    for (_, answer) in &mut answers {
        // Those for which there was no room have an error that fits the window; of the others no
        // more than the first bytes are taken.
        if let Some(Ok(frame)) = answer.body_mut().frame().await
            && let Some(trailers) = frame.trailers_ref()
        {
            let error = Status::from_header_map(trailers).expect("an error");
            assert_eq!(error.code(), Code::ResourceExhausted);
            assert_eq!(status::read(&error).reason, "TOO_MANY_BYTES");
            refused += 1;
        }
    }
    assert!((1..8).contains(&refused), "{refused}");
    let cut = "motet_server_cut_total{reason=\"slow_reader\"}";
    server
        .until("all are ended", |s| s.metric(cut) == 8 - refused)
        .await;
    server
        .until("all is given back", |s| s.metric(HELD) == 0)
        .await;
    assert_eq!(server.admission.in_flight(), 0);
    for (client, _) in &answers {
        assert_eq!(
            client.say("x").await.expect("the connection lives"),
            "hello x"
        );
    }
}

#[tokio::test]
async fn small_answers_that_nobody_takes_end_their_connection() {
    let server = start_with(100, options()).await;
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings.initial_stream_window_size(10);
    let client = Client::connect_with(server.addr, &settings).await;
    let request = Body::new(http_body_util::Full::new(framed("a text that is longer")));
    let mut answer = client.bytes(UNARY, request).await;
    // Its call is over.
    server
        .until("handed over", |s| s.admission.in_flight() == 0)
        .await;
    assert!(server.metric(HELD) > 0);
    let cut = "motet_server_cut_total{reason=\"slow_connection\"}";
    server.until("it is ended", |s| s.metric(cut) == 1).await;
    server
        .until("all is given back", |s| s.metric(HELD) == 0)
        .await;
    while let Some(frame) = answer.body_mut().frame().await {
        if frame.is_err() {
            return;
        }
    }
    panic!("the answer is not whole");
}

#[tokio::test]
async fn calls_that_are_refused_before_their_bodies_arrive_do_not_end_the_connection() {
    let mut server = start_with(1, options()).await;
    let other = server.client().await;
    let hanging = tokio::spawn(async move { other.say("hang").await });
    assert_eq!(server.next_event().await, Event::Began);
    let client = server.client().await;
    for round in 0..30 {
        let calls = (0..50).map(|_| async {
            let (send, parts) = mpsc::channel(1);
            let body = ReceiverStream::new(parts).map(Ok::<_, Infallible>);
            let answer = client.bytes(UNARY, Body::new(StreamBody::new(body))).await;
            let error = error_of(&answer);
            assert_eq!(status::read(&error).reason, "TOO_MANY_REQUESTS", "{round}");
            // The rest is on its way when the answer comes.
            for part in [&[0, 0, 0, 0, 2][..], &[10, 0]] {
                let _ = send.send(Frame::data(Bytes::from_static(part))).await;
            }
        });
        join_all(calls).await;
    }
    hanging.abort();
    server
        .until("there is room", |s| s.admission.in_flight() == 0)
        .await;
    assert_eq!(
        client.say("x").await.expect("the connection lives"),
        "hello x"
    );
}

#[tokio::test]
async fn a_message_of_a_stream_that_stops_in_the_middle_is_given_up() {
    let server = start_with(100, options()).await;
    let client = server.client().await;
    let whole = framed("x");
    let part = framed(&"y".repeat(500)).slice(..100);
    let answer = client
        .bytes(EACH, unfinished([whole, part].concat().into()))
        .await;
    let mut body = answer.into_body();
    let mut trailers = None;
    let mut answered = 0;
    while let Some(frame) = body.frame().await {
        match frame.expect("no error").into_data() {
            Ok(data) => answered += data.len(),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    assert!(answered > 0, "the first is answered");
    let error = Status::from_header_map(&trailers.expect("an end")).expect("an error");
    assert_eq!(status::read(&error).reason, "REQUEST_TOO_SLOW");
    server
        .until("all is given back", |s| s.metric(HELD) == 0)
        .await;
}

#[tokio::test]
async fn an_idle_stream_holds_no_bytes_of_the_requests_that_it_has_had() {
    let server = start_with(100, options()).await;
    let client = server.client().await;
    let (send, messages) = mpsc::channel(1);
    let messages = tonic::Request::new(ReceiverStream::new(messages));
    let mut answers = client.stream_of(EACH, messages).await.expect("it opens");
    for _ in 0..50 {
        send.send("x".repeat(900)).await.expect("it is read");
        answers
            .message()
            .await
            .expect("no error")
            .expect("an answer");
    }
    server
        .until("nothing is held", |s| s.metric(HELD) == 0)
        .await;
    assert_eq!(server.admission.open_streams(), 1);
}
