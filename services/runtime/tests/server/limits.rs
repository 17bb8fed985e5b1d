use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use motet_runtime::serve::ServeOptions;
use motet_runtime::status;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{READ_TIMEOUT, start, start_with};
use crate::test_service::{Event, MESSAGE_MAX, UNARY};

fn assert_too_large(error: &Status, found: &str) {
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert!(error.message().contains(found), "{error}");
    assert!(error.message().contains("limit is 1000 bytes"), "{error}");
    let details = status::read(error);
    assert_eq!(details.reason, "MESSAGE_TOO_LARGE");
    assert_eq!(
        details.metadata["max_message_bytes"],
        MESSAGE_MAX.to_string()
    );
    assert_eq!(details.retry_after, None, "a retry cannot help");
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted_with_the_limit() {
    let server = start().await;
    let client = server.client().await;
    let long = "x".repeat(MESSAGE_MAX);
    assert_too_large(
        &client.say(&long).await.expect_err("too long"),
        "1003 bytes",
    );

    let messages = tokio_stream::iter(["fine".to_owned(), long]);
    let mut answers = client
        .stream(tonic::Request::new(messages))
        .await
        .expect("it begins");
    assert_eq!(
        answers.message().await.expect("fine"),
        Some("fine".to_owned())
    );
    assert_too_large(
        &answers.message().await.expect_err("too long"),
        "1003 bytes",
    );
    assert_eq!(
        client.say("again").await.expect("the connection lives"),
        "hello again"
    );
}

#[tokio::test]
async fn bytes_that_are_no_message_are_invalid_argument() {
    let server = start().await;
    let client = server.client().await;
    // BytesValue and Int64Value have the field number of StringValue.
    let not_utf8 = client
        .unary(UNARY, tonic::Request::new(vec![0xff_u8, 0xfe]))
        .await;
    let wrong_type = client.unary(UNARY, tonic::Request::new(7_i64)).await;
    for (answer, what) in [(not_utf8, "UTF-8"), (wrong_type, "wire type")] {
        let error = answer.expect_err(what);
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.message().contains(what), "{error}");
        let details = status::read(&error);
        assert_eq!(details.reason, "MALFORMED_MESSAGE");
        assert_eq!(details.violations.len(), 1);
    }
    let messages = tokio_stream::iter([vec![0xff_u8]]);
    let mut answers = client
        .stream(tonic::Request::new(messages))
        .await
        .expect("it begins");
    let error = answers.message().await.expect_err("not UTF-8");
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
}

#[tokio::test]
async fn the_field_of_a_generated_message_is_named() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Forged {
        #[prost(bytes = "vec", tag = "1")]
        service: Vec<u8>,
    }
    let server = start().await;
    let client = server.client().await;
    let forged = Forged {
        service: vec![0xff],
    };
    let error = client
        .unary("/grpc.health.v1.Health/Check", tonic::Request::new(forged))
        .await
        .expect_err("not UTF-8");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(status::read(&error).violations[0].0, "service", "{error}");
}

#[tokio::test]
async fn unknown_methods_are_named() {
    let server = start().await;
    let client = server.client().await;
    for path in ["/test.TestService/Nothing", "/no.Such/Method"] {
        let request = tonic::Request::new(String::new());
        let error = client.unary(path, request).await.expect_err(path);
        assert_eq!(error.code(), Code::Unimplemented);
        assert!(error.message().contains(path), "{error}");
    }
}

#[tokio::test]
async fn a_panic_is_internal_and_the_server_goes_on() {
    let server = start().await;
    let client = server.client().await;
    let error = client.say("panic").await.expect_err("it panics");
    assert_eq!(error.code(), Code::Internal);
    assert_eq!(status::read(&error).reason, "PANIC");
    assert!(!error.message().contains("as the request asked"), "{error}");

    let messages = tokio_stream::iter(["one".to_owned(), "panic".to_owned()]);
    let mut answers = client
        .stream(tonic::Request::new(messages))
        .await
        .expect("it begins");
    // The first answer may still be in the encoder's buffer when the second panics, and is then
    // lost with it.
    let error = loop {
        match answers.message().await {
            Ok(answer) => assert_eq!(answer.as_deref(), Some("one")),
            Err(error) => break error,
        }
    };
    assert_eq!(status::read(&error).reason, "PANIC");
    assert_eq!(
        client.say("again").await.expect("the connection lives"),
        "hello again"
    );
    assert_eq!(server.admission.in_flight(), 0);
    let text = server.metrics.render().expect("valid text");
    let counted = "motet_server_panics_total{task=\"handler\"} 2\n";
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn above_the_limit_calls_are_refused_until_one_ends() {
    let mut server = start_with(2, ServeOptions::default()).await;
    let client = server.client().await;
    let other = server.client().await; // the limit holds over all connections
    let hanging = [client.clone(), other.clone()]
        .map(|client| tokio::spawn(async move { client.say("hang").await }));
    for _ in &hanging {
        assert_eq!(server.next_event().await, Event::Began);
    }
    let error = client.say("x").await.expect_err("the server is full");
    assert_eq!(error.code(), Code::ResourceExhausted);
    let details = status::read(&error);
    assert_eq!(details.reason, "TOO_MANY_REQUESTS");
    assert_eq!(details.metadata["max_concurrent_requests"], "2");
    assert!(
        details
            .retry_after
            .is_some_and(|delay| delay > Duration::ZERO)
    );

    let mut health = HealthClient::new(server.channel().await);
    health
        .check(HealthCheckRequest::default())
        .await
        .expect("health is exempt");

    for call in &hanging {
        call.abort(); // the client goes away
        assert_eq!(server.next_event().await, Event::Dropped);
    }
    while server.admission.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.say("x").await.expect("there is room"), "hello x");
    let text = server.metrics.render().expect("valid text");
    assert!(
        text.contains("motet_server_refused_total{reason=\"concurrency\"} 1"),
        "{text}"
    );
    assert!(text.contains("motet_server_in_flight 0"), "{text}");
}

#[tokio::test]
async fn a_stream_counts_until_it_ends() {
    let mut server = start().await;
    let client = server.client().await;
    let messages = tokio_stream::iter(["one".to_owned(), "hang".to_owned()]);
    let mut answers = client
        .stream(tonic::Request::new(messages))
        .await
        .expect("it begins");
    assert_eq!(
        answers.message().await.expect("fine"),
        Some("one".to_owned())
    );
    assert_eq!(server.admission.open_streams(), 1);
    drop(answers);
    assert_eq!(server.next_event().await, Event::Began);
    assert_eq!(server.next_event().await, Event::Dropped);
    while server.admission.open_streams() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_message_that_does_not_come_gives_its_place_back() {
    let server = start().await;
    let client = server.client().await;
    // A frame's head that announces four bytes, two of them, and no more.
    let begun = Bytes::from_static(&[0, 0, 0, 0, 4, 10, 2]);
    for sent in [None, Some(begun)] {
        let frames = tokio_stream::iter(sent.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
        let unfinished = StreamBody::new(frames.chain(tokio_stream::pending()));
        let answer = client.bytes(UNARY, Body::new(unfinished)).await;
        let error = Status::from_header_map(answer.headers()).expect("an error");
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
        assert_eq!(status::read(&error).reason, "REQUEST_TOO_SLOW");
        drop(answer);
    }
    assert_eq!(server.admission.in_flight(), 0);
    // A stream may take its time: it is not answered for want of messages.
    let (more, messages) = tokio::sync::mpsc::channel(1);
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut answers = client
        .stream(tonic::Request::new(messages))
        .await
        .expect("it begins");
    let silence = tokio::time::timeout(2 * READ_TIMEOUT, answers.message()).await;
    assert!(silence.is_err(), "{silence:?}");
    more.send("late".to_owned()).await.expect("it is read");
    let answer = answers.message().await.expect("an answer");
    assert_eq!(answer.as_deref(), Some("late"));
}
