//! Load over the limits of a process.

use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::http::Metrics;
use motet_tests::in_process;
use motet_tests::proxy::Proxy;
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::soon;
use serde_json::json;
use tonic::Code;

use crate::motet;
use crate::processes::endpoint;
use crate::rag::{PASSAGES, check_results, rag};

#[tokio::test]
async fn a_request_over_the_limit_is_refused_at_once_with_a_retry_delay() {
    let folder = TempDir::new();
    let built_in = motet(["config"]).run().await.stdout;
    let limited = "server:\n  max_concurrent_requests: 2\n";
    let file = folder.file("motet.yaml", built_in.replacen("server:\n", limited, 1));
    let proxy = Proxy::start(in_process::connect().await).await;
    let endpoints = ["chunker", "minilm", "reranker"].map(|model| endpoint(model, proxy.address));
    let mut gateway = motet(["gateway", "-f"])
        .args([&file])
        .args(endpoints.as_flattened())
        .on_free_ports()
        .start();
    let ready = gateway.ready().await;
    let request = json!({"query": "tides", "documents": PASSAGES});
    proxy.close();
    let mut calls = Vec::new();
    for count in 1..=2 {
        // On connections of their own: the limit is that of the process.
        let rag = rag(&Connection::open(ready.grpc).await).await;
        let request = request.clone();
        calls.push(tokio::spawn(async move { rag.call("Run", request).await }));
        proxy.holds(2 * count).await;
    }
    let connection = Connection::open(ready.grpc).await;
    let rag = rag(&connection).await;
    let error = rag
        .call("Run", request.clone())
        .await
        .expect_err("two are in flight");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert!(error.message().contains("2"), "{error}");
    assert!(status::read(&error).retry_after.is_some(), "{error}");
    // Health checks are exempt.
    let question = tonic_health::pb::HealthCheckRequest::default();
    let health = connection.health().check(question).await;
    health.expect("an answer");
    let metrics = Metrics::read(ready.http.expect("HTTP is on")).await;
    assert_eq!(metrics.count("motet_server_in_flight", &[]), 2.0);
    assert_eq!(metrics.count("motet_server_refused_total", &[]), 1.0);
    proxy.open();
    for call in calls {
        let answer = soon("the answer", call)
            .await
            .expect("it ran")
            .expect("it was accepted");
        check_results(&answer, &PASSAGES, 5);
    }
    rag.call("Run", request).await.expect("there is room again");
}
