//! Errors of servers that are not motet, as callers of a pipeline get them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use motet::process::Role;
use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::in_process::{self, ANY_PORT};
use motet_tests::other_server::{Call, OtherServer, Reflection, Reply, compile};
use motet_tests::reflected::Service;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use serde_json::{Value, json};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// A node that is a model of another server, or a method of one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Callee {
    Model,
    Method,
}

impl Callee {
    const ALL: [Self; 2] = [Self::Model, Self::Method];

    async fn server(self, answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> OtherServer {
        let file = match self {
            Self::Model => "proto/proto/inference/inference.proto",
            Self::Method => "gateway/tests/protos/ocr.proto",
        };
        let files = compile(&repository().join(file));
        let answer = move |call: &Call| match call.method.as_str() {
            "ModelMetadata" => Reply::Messages(vec![metadata()]),
            "ModelReady" => Reply::Messages(vec![json!({"ready": true})]),
            _ => answer(call),
        };
        OtherServer::start(ANY_PORT, &files, Reflection::V1, answer).await
    }

    /// A pipeline of one node, `seen`, that calls `callee` at this address.
    fn configuration(self, address: &str, errors: &str, policies: &str) -> String {
        let (servers, node, output) = match self {
            Self::Model => (
                format!("models: {{ callee: {{ endpoint: \"{address}\", errors: {errors} }} }}"),
                "model: callee, in: { text: $text }",
                "size",
            ),
            Self::Method => (
                format!("endpoints: {{ callee: {{ url: \"{address}\", errors: {errors} }} }}"),
                "grpc: ocr.v1.Ocr/Read, endpoint: callee, in: { options.lang: $text }",
                "text",
            ),
        };
        format!(
            "server: {{ max_message_bytes: 65536 }}\n{servers}\n\
             pipelines:\n  - pipeline: read\n    inputs: {{ text: string }}\n    \
             nodes: {{ seen: {{ {node}{policies} }} }}\n    \
             outputs: {{ out: $seen.{output} }}\n"
        )
    }

    /// The key of the callee's name in an error.
    const fn key(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Method => "endpoint",
        }
    }
}

fn metadata() -> Value {
    json!({
        "name": "callee",
        "versions": ["1"],
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "size", "datatype": "FP32", "shape": [-1]}],
    })
}

/// Serves a configuration; gives the pipeline `read`.
async fn read(configuration: &str) -> (motet::process::Running, Service) {
    let folder = TempDir::new();
    let file = folder.file("motet.yaml", configuration);
    let running = in_process::start(Role::Gateway, Some(file)).await;
    let connection = Connection::open(running.grpc).await;
    let read = Service::learn(&connection, "motet.pipeline.Read").await;
    (running, read.expect("the pipeline is served"))
}

/// An error with everything that must not reach a caller.
fn refused(code: Code) -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
    let metadata = [("shard".to_owned(), "ocr-7:4000".to_owned())];
    details.set_error_info("TOO_BLURRED", "ocr.example.com", metadata);
    let message = "ask\r\n10.1.2.3:50051 or http://ocr-7.internal:80/x: quota of 5 pages";
    let mut metadata = MetadataMap::new();
    metadata.insert("x-served-by", MetadataValue::from_static("ocr-7"));
    Status::with_error_details_and_metadata(code, message, details, metadata)
}

#[tokio::test]
async fn callers_get_the_code_that_it_means_for_them_and_no_addresses() {
    let cases = [
        (
            Code::ResourceExhausted,
            Code::ResourceExhausted,
            "RESOURCE_EXHAUSTED",
            true,
        ),
        (
            Code::PermissionDenied,
            Code::Internal,
            "UPSTREAM_DENIED",
            false,
        ),
        (
            Code::Unimplemented,
            Code::Internal,
            "UPSTREAM_UNIMPLEMENTED",
            false,
        ),
        (Code::Cancelled, Code::Unavailable, "UNAVAILABLE", true),
        (
            Code::InvalidArgument,
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
            false,
        ),
    ];
    for callee in Callee::ALL {
        let next = Arc::new(AtomicI32::new(0));
        let said = next.clone();
        let answer = move |_: &Call| {
            let code = Code::from_i32(said.load(Ordering::SeqCst));
            Reply::Error(Vec::new(), refused(code))
        };
        let server = callee.server(answer).await;
        let address = format!("grpc://{}", server.address);
        for errors in ["show", "hide"] {
            let (_running, read) = read(&callee.configuration(&address, errors, "")).await;
            for (code, expected, reason, is_delayed) in cases {
                next.store(code as i32, Ordering::SeqCst);
                let error = read.call("Run", json!({"text": "x"})).await;
                let error = error.expect_err("it is refused");
                let details = status::read(&error);
                assert_eq!(
                    (error.code(), &*details.reason),
                    (expected, reason),
                    "{error:?}"
                );
                let words = match errors {
                    "show" => "ask (address) or (address): quota of 5 pages".to_owned(),
                    _ => format!("the call failed ({reason})"),
                };
                assert_eq!(error.message(), format!("node seen: {words}"));
                assert_eq!(details.retry_after.is_some(), is_delayed, "{code:?}");
                let mut keys: Vec<_> = details.metadata.keys().map(String::as_str).collect();
                keys.sort_unstable();
                let mut all = vec!["node", "pipeline"];
                if errors == "show" {
                    all.extend([callee.key(), "upstream_reason"]);
                    all.extend((code != expected).then_some("upstream_code"));
                    all.sort_unstable();
                }
                assert_eq!(keys, all);
                let whole = format!("{error:?}");
                for secret in ["ocr-7", "10.1.2.3", "x-served-by"] {
                    assert!(!whole.contains(secret), "{whole}");
                }
            }
        }
    }
}

#[tokio::test]
async fn hidden_words_are_in_receipts() {
    let server = Callee::Method
        .server(|_| Reply::Error(Vec::new(), refused(Code::ResourceExhausted)))
        .await;
    let address = format!("grpc://{}", server.address);
    let policies = ", on_error: { use: { text: none }, mark: degraded }";
    let configuration = Callee::Method.configuration(&address, "hide", policies);
    let (_running, read) = read(&configuration).await;
    let mut request = Request::new(read.message("Run", &json!({"text": "x"})));
    let receipt = MetadataValue::from_static("1");
    request.metadata_mut().insert("motet-receipt", receipt);
    let answer = read.request("Run", request).await.expect("an answer");
    let answer = answer.into_inner();
    assert_eq!(
        answer["receipt"]["nodes"][0]["error"],
        "node seen: the call failed (RESOURCE_EXHAUSTED): \
         ask (address) or (address): quota of 5 pages",
        "{answer}"
    );
}

#[tokio::test]
async fn an_answer_over_the_limit_names_the_limit() {
    for callee in Callee::ALL {
        let size = 70_000;
        let answer = move |_: &Call| {
            let text = "x".repeat(size);
            Reply::Messages(vec![match callee {
                Callee::Model => json!({"model_name": "callee", "id": text}),
                Callee::Method => json!({"text": text}),
            }])
        };
        let server = callee.server(answer).await;
        let address = format!("grpc://{}", server.address);
        let (_running, read) = read(&callee.configuration(&address, "show", "")).await;
        let error = read.call("Run", json!({"text": "x"})).await;
        let error = error.expect_err("it is over the limit");
        assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
        let subject = match callee {
            Callee::Model => "model callee",
            Callee::Method => "ocr.v1.Ocr/Read",
        };
        let message = error.message();
        assert!(
            message.starts_with(&format!("node seen: the answer of {subject} has 700"))
                && message.ends_with(" bytes, the limit is 65536 bytes"),
            "{message}"
        );
        let details = status::read(&error);
        assert_eq!(details.reason, "MESSAGE_TOO_LARGE");
        let of = |key: &str| details.metadata[key].as_str();
        assert_eq!(
            (of("node"), of(callee.key()), of("max_message_bytes")),
            ("seen", "callee", "65536")
        );
    }
}
