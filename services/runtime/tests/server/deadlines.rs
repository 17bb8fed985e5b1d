use std::time::Duration;

use motet_runtime::deadline::{Deadline, GRPC_TIMEOUT};
use motet_runtime::status;
use tokio_stream::StreamExt;
use tonic::Code;

use crate::harness::start;
use crate::test_service::Event;

// The clock stops (and then jumps from timer to timer) only once the handler runs: a stopped clock
// does not wait for bytes on their way through a socket.

#[tokio::test]
async fn a_late_call_is_dropped_and_answered_deadline_exceeded() {
    let mut server = start().await;
    let client = server.client().await;
    let call = tokio::spawn(async move { client.say_with("hang", GRPC_TIMEOUT, "60S").await });
    assert_eq!(server.next_event().await, Event::Began);
    tokio::time::pause();
    let error = call.await.expect("ran").expect_err("it hangs");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(status::read(&error).reason, "DEADLINE_EXCEEDED");
    assert!(error.message().contains("60s"), "{error}");
    assert_eq!(server.next_event().await, Event::Dropped);
}

#[tokio::test]
async fn a_stream_that_is_late_ends_with_deadline_exceeded() {
    let mut server = start().await;
    let client = server.client().await;
    let messages = tokio_stream::iter(["one".to_owned(), "hang".to_owned()]);
    let mut request = tonic::Request::new(messages.chain(tokio_stream::pending()));
    request
        .metadata_mut()
        .insert(GRPC_TIMEOUT, "60S".parse().expect("ascii"));
    let mut answers = client.stream(request).await.expect("it begins in time");
    assert_eq!(
        answers.message().await.expect("in time"),
        Some("one".to_owned())
    );
    tokio::time::pause();
    let error = answers.message().await.expect_err("it hangs");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(server.next_event().await, Event::Began);
    assert_eq!(server.next_event().await, Event::Dropped);
}

#[tokio::test]
async fn handlers_know_what_is_left() {
    let server = start().await;
    let client = server.client().await;
    assert_eq!(client.say("deadline").await.expect("answers"), "none");
    let left = client
        .say_with("deadline", GRPC_TIMEOUT, "60S")
        .await
        .expect("answers");
    let left = Duration::from_nanos(left.parse().expect("nanoseconds"));
    assert!(
        left <= Duration::from_secs(60) && !left.is_zero(),
        "{left:?}"
    );
}

#[tokio::test]
async fn timeouts_that_cannot_be_kept_or_read_are_refused_at_once() {
    let mut server = start().await;
    let client = server.client().await;
    let error = client
        .say_with("hang", GRPC_TIMEOUT, "0n")
        .await
        .expect_err("too late");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    for malformed in ["5", "S", "123456789S", "5 S", "soon"] {
        let error = client
            .say_with("x", GRPC_TIMEOUT, malformed)
            .await
            .expect_err(malformed);
        assert_eq!(error.code(), Code::InvalidArgument, "{malformed}");
        assert_eq!(status::read(&error).violations[0].0, GRPC_TIMEOUT);
    }
    assert!(server.events.try_recv().is_err(), "no handler ran");
}

#[tokio::test]
async fn the_client_side_says_deadline_exceeded_through_tonics_channel_too() {
    let mut server = start().await;
    let mut client =
        motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient::new(
            server.channel().await,
        );
    // An unknown method answers before the deadline, with its own code.
    let deadline = Deadline::within(Duration::from_secs(3600));
    let mut request = tonic::Request::new(motet_proto::inference::ServerLiveRequest {});
    deadline.write(request.metadata_mut());
    let error = deadline
        .run(client.server_live(request))
        .await
        .expect_err("no such service");
    assert_eq!(error.code(), Code::Unimplemented);

    let mut grpc = tonic::client::Grpc::new(server.channel().await);
    grpc.ready().await.expect("connected");
    let deadline = Deadline::within(Duration::from_secs(60));
    let mut request = tonic::Request::new("hang".to_owned());
    deadline.write(request.metadata_mut());
    let codec = tonic_prost::ProstCodec::<String, String>::default();
    let path = http::uri::PathAndQuery::from_static(crate::test_service::UNARY);
    let call = tokio::spawn(async move { deadline.run(grpc.unary(request, path, codec)).await });
    assert_eq!(server.next_event().await, Event::Began);
    tokio::time::pause();
    let error = call.await.expect("ran").expect_err("it hangs");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(server.next_event().await, Event::Dropped);
}
