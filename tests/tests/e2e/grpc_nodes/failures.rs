//! Servers that fail, are late or down, and clients that go away.

use motet_runtime::status;
use motet_tests::other_server::{Call, Reply};
use motet_tests::wait::until;
use serde_json::json;
use tonic::{Code, Request, Status};

use super::{Gateway, READ, encode, letters, nobody, one_node, server};

#[tokio::test]
async fn an_error_names_the_node_and_the_endpoint() {
    let failing = |call: &Call| {
        let error = Status::failed_precondition("not this picture");
        match call.method.as_str() {
            "Watch" => Reply::Error(vec![json!({"number": 1})], error),
            _ => Reply::Error(Vec::new(), error),
        }
    };
    let server = server(failing).await;
    let watch = "{ grpc: ocr.v1.Ocr/Watch, endpoint: ocr, in: { image: $image } }";
    for node in [READ, watch] {
        let (_gateway, read) = Gateway::over(&server, node, "{ text: $seen.text }").await;
        let error = read.call("Run", json!({"image": ""})).await;
        let error = error.expect_err("it is refused");
        assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
        assert_eq!(error.message(), "node seen: not this picture");
        let details = status::read(&error).metadata;
        let of = |key: &str| details.get(key).map(String::as_str);
        assert_eq!(
            (of("pipeline"), of("node"), of("endpoint")),
            (Some("read"), Some("seen"), Some("ocr"))
        );
    }
}

#[tokio::test]
async fn a_call_ends_when_its_client_goes_away() {
    let server = server(|_| Reply::Hold).await;
    let (_gateway, read) = Gateway::over(&server, READ, "{ text: $seen.text }").await;
    let call = tokio::spawn({
        let read = read.clone();
        async move { read.call("Run", json!({"image": encode("x")})).await }
    });
    server.holds(1).await;
    call.abort();
    server.holds(0).await;
}

#[tokio::test]
async fn the_next_arm_replaces_a_server_that_is_late_or_down() {
    let slow = |call: &Call| match call.message["image"].as_str() {
        None => Reply::Hold,
        Some(_) => letters(call),
    };
    let server = server(slow).await;
    let node = "{ fallback: [ { grpc: ocr.v1.Ocr/Read, endpoint: ocr, in: { image: $image }, \
                out: { text: text }, deadline: 500ms }, { value: { text: nothing } } ] }";
    let (_gateway, read) = Gateway::over(&server, node, "{ text: $seen.text }").await;
    for (image, expected) in [("here", "here"), ("", "nothing")] {
        let answer = read.answer("Run", json!({"image": encode(image)})).await;
        assert_eq!(answer, json!({"text": expected}));
    }
    server.holds(0).await;

    // With a descriptor, the gateway starts although the server is down.
    let (_reserved, address) = nobody();
    let endpoint = format!("{{ url: \"grpc://{address}\", descriptor: ocr.binpb }}");
    let gateway = Gateway::start(&one_node(&endpoint, node, "{ text: $seen.text }")).await;
    let read = gateway.pipeline("Read").await;
    let answer = read.answer("Run", json!({"image": encode("here")})).await;
    assert_eq!(answer, json!({"text": "nothing"}));
    let gateway = Gateway::start(&one_node(&endpoint, READ, "{ text: $seen.text }")).await;
    let read = gateway.pipeline("Read").await;
    let ask = || read.call("Run", json!({"image": ""}));
    let error = ask().await.expect_err("nobody there");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let expected = "node seen: endpoint ocr cannot be reached";
    assert_eq!(error.message(), expected, "no address");
    // After some failures the circuit opens.
    until("an open circuit", async || {
        let error = ask().await.expect_err("nobody there");
        (status::read(&error).reason == "CIRCUIT_OPEN").then_some(())
    })
    .await;
    drop(gateway.running);
}

#[tokio::test]
async fn a_failed_call_is_made_again() {
    let failed = std::sync::atomic::AtomicUsize::new(0);
    let server =
        server(
            move |call| match failed.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => Reply::Error(Vec::new(), Status::unavailable("just now")),
                _ => letters(call),
            },
        )
        .await;
    let node =
        "{ grpc: ocr.v1.Ocr/Read, endpoint: ocr, in: { image: $image }, retry: { backoff: 1ms } }";
    let (_gateway, read) = Gateway::over(&server, node, "{ text: $seen.text }").await;
    let mut request = Request::new(read.message("Run", &json!({"image": encode("x")})));
    let metadata = request.metadata_mut();
    metadata.insert("motet-receipt", "1".parse().expect("ascii"));
    let answer = read.request("Run", request).await.expect("an answer");
    let answer = answer.into_inner();
    assert_eq!(answer["text"], "x");
    assert_eq!(answer["receipt"]["nodes"][0]["retries"], 1, "{answer}");
    assert_eq!(server.calls().len(), 2);
}
