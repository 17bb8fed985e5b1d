//! Services in `motet check`, in lock files, at startup, and in pipelines that are loaded later.

use std::net::SocketAddr;

use motet_proto::v1::LoadRequest;
use motet_tests::in_process;
use motet_tests::other_server::{OtherServer, Reflection};
use motet_tests::reflected::Service;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use serde_json::json;
use tonic::{Code, Request};

use super::{Gateway, READ, encode, letters, nobody, ocr, one_node, server};
use crate::motet;

#[tokio::test]
async fn a_pipeline_that_is_loaded_later_calls_named_endpoints() {
    let server = server(letters).await;
    let (gateway, _) = Gateway::over(&server, READ, "{ text: $seen.text }").await;
    let load = async |endpoint: &str, method: &str| {
        let yaml = format!(
            "pipeline: later\ninputs: {{ image: bytes }}\nnodes:\n  \
             seen: {{ grpc: {method}, endpoint: \"{endpoint}\", in: {{ image: $image }} }}\n\
             outputs: {{ word: $seen.text }}\n"
        );
        let mut pipelines = gateway.connection.pipelines();
        pipelines.load(LoadRequest { yaml }).await
    };
    load("ocr", "ocr.v1.Ocr/Watch").await.expect("it is loaded");
    let later = gateway.pipeline("Later").await;
    let answer = later.answer("Run", json!({"image": encode("a b")})).await;
    assert_eq!(answer, json!({"word": ["a", "b"]}));
    for (endpoint, method, expected) in [
        ("orc", "ocr.v1.Ocr/Read", "did you mean `ocr`?"),
        ("ocr", "ocr.v1.Orc/Read", "did you mean `ocr.v1.Ocr`?"),
        (
            &format!("grpc://{}", server.address),
            "ocr.v1.Ocr/Read",
            "calls only endpoints that its configuration names",
        ),
    ] {
        let error = load(endpoint, method).await.expect_err("it is refused");
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn the_program_checks_locks_and_waits_for_services() {
    let folder = TempDir::new();
    let write = |address: SocketAddr, output: &str| {
        let outputs = format!("{{ text: $seen.{output} }}");
        let endpoint = format!("grpc://{address}");
        folder.file("motet.yaml", one_node(&endpoint, READ, &outputs))
    };
    let running = server(letters).await;
    let file = write(running.address, "text");
    let check = async |more: &[&str]| {
        let path = file.to_str().expect("UTF-8");
        let ended = motet(["check", path]).args(more).run().await;
        (ended.code, ended.stderr)
    };
    assert_eq!(check(&[]).await, (Some(0), String::new()));
    write(running.address, "txt");
    let (code, said) = check(&[]).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("did you mean `text`?"), "{said}");

    // A lone pipeline states the address of the server.
    let node = READ.replace(
        "endpoint: ocr",
        &format!("endpoint: \"grpc://{}\"", running.address),
    );
    let alone = folder.file(
        "alone.yaml",
        format!(
            "pipeline: alone\ninputs: {{ image: bytes, lang: string }}\nnodes: {{ seen: {node} \
             }}\noutputs: {{ x: $seen.text }}\n"
        ),
    );
    let ended = motet(["check"]).args([&alone]).run().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));

    // The schema of a server that is down is known from the lock file only.
    let (reserved, away) = nobody();
    write(away, "text");
    let (code, said) = check(&[]).await;
    assert_eq!(code, Some(0));
    let expected = format!("endpoint ocr at grpc://{away} cannot be reached");
    assert!(
        said.starts_with("warning: ") && said.contains(&expected),
        "{said}"
    );
    let (code, said) = check(&["--lock"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot be locked"), "{said}");
    write(running.address, "text");
    assert_eq!(check(&["--lock"]).await.0, Some(0));
    write(away, "text");
    assert_eq!(check(&[]).await, (Some(0), String::new()));
    write(away, "txt");
    let (code, said) = check(&[]).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("did you mean `text`?"), "{said}");

    // A gateway waits for a server whose schema it needs.
    write(away, "text");
    let mut process = motet(["gateway", "-f"])
        .args([&file])
        .on_free_ports()
        .start();
    process.says("waiting: endpoint ocr at").await;
    drop(reserved);
    let late = OtherServer::start(away, &ocr(), Reflection::V1, letters).await;
    let connection = process.connect().await;
    let read = Service::learn(&connection, "motet.pipeline.Read").await;
    let read = read.expect("the pipeline");
    let mut request = Request::new(read.message("Run", &json!({"image": encode("x")})));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let parent = parent.parse().expect("ascii");
    request.metadata_mut().insert("traceparent", parent);
    let answer = read.request("Run", request).await.expect("an answer");
    assert_eq!(answer.into_inner(), json!({"text": "x"}));
    let parent = late.calls()[0].headers["traceparent"].clone();
    assert!(
        parent.to_str().expect("ascii").contains(trace),
        "{parent:?}"
    );
    process.signal("TERM");
    assert_eq!(process.end().await.code, Some(0));
}

#[tokio::test]
async fn a_gateway_calls_the_pipeline_of_another() {
    let behind: SocketAddr = in_process::shared().grpc;
    let mut process = motet(["gateway", "-f"])
        .args([repository().join("deploy/examples/front/motet.yaml")])
        .args(["--endpoint", &format!("rag=grpc://{behind}")])
        .on_free_ports()
        .start();
    let connection = process.connect().await;
    let ask = Service::learn(&connection, "motet.pipeline.Ask").await;
    let ask = ask.expect("the pipeline");
    let (question, expected) = crate::rag::QUESTIONS[0];
    let request = json!({"query": question, "documents": crate::rag::PASSAGES});
    let answer = ask.answer("Run", request).await;
    let best = answer["results"][0]["index"].as_u64();
    assert_eq!(best, Some(expected as u64), "{answer}");
    process.signal("TERM");
    assert_eq!(process.end().await.code, Some(0));
}
