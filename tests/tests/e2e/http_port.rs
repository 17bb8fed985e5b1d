//! The HTTP port: liveness, readiness and metrics.

use motet_tests::http::{Metrics, get};
use motet_tests::tensors::{raw, texts};
use motet_tests::wait::until;
use motet_tests::{in_process, repository};
use serde_json::json;

use crate::motet;
use crate::rag::{PASSAGES, rag};

/// The most resident memory of a process with the built-in model.
const MEMORY_BYTES_MAX: u64 = 400_000_000;

#[tokio::test]
async fn a_ready_process_is_live_and_ready() {
    let http = in_process::shared().http;
    let page = async |path| get(http, path).await.expect("it answers");
    assert_eq!(page("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(page("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(page("/nothing").await.0, 404);
    let (status, index) = page("/").await;
    assert!(status == 200 && index.contains("/metrics"), "{index}");
}

#[tokio::test]
async fn the_grpc_port_names_the_http_port_to_clients_of_http_1() {
    let shared = in_process::shared();
    let (status, text) = get(shared.grpc, "/metrics").await.expect("it answers");
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("gRPC"), "{text}");
    assert!(text.contains(&format!("http://{}/", shared.http)), "{text}");
}

#[tokio::test]
async fn metrics_count_pipelines_nodes_models_batches_and_queues() {
    // A process of its own: other tests call the shared one.
    let mut process = motet(["up"]).on_free_ports().start();
    let ready = process.ready().await;
    let http = ready.http.expect("HTTP is on");
    let connection = motet_tests::connection::Connection::open(ready.grpc).await;
    let before = Metrics::read(http).await;
    let rag = rag(&connection).await;
    let runs = 3;
    for _ in 0..runs {
        rag.call("Run", json!({"query": "tides", "documents": PASSAGES}))
            .await
            .expect("an answer");
    }
    rag.call("Run", json!({"query": "tides", "top_n": 0}))
        .await
        .expect_err("out of range");
    let over_oip = raw(
        "rag",
        &[("query", texts(&["x"])), ("documents", texts(&["y"]))],
    );
    connection
        .inference()
        .model_infer(over_oip)
        .await
        .expect("an answer");
    connection
        .inference()
        .model_infer(raw("minilm", &[]))
        .await
        .expect_err("no text");

    // A batch is counted after its answers are sent; the wait of its rows is counted last.
    until("all rows are counted", async || {
        let minilm = [("model", "minilm")];
        let waits = |metrics: &Metrics| metrics.count("motet_queue_wait_seconds_count", &minilm);
        let grown = waits(&Metrics::read(http).await) - waits(&before);
        (grown >= 23.0).then_some(())
    })
    .await;
    let after = Metrics::read(http).await;
    let grown = |name: &str, labels: &[(&str, &str)]| {
        after.count(name, labels) - before.count(name, labels)
    };
    let typed = [("pipeline", "rag"), ("surface", "typed")];
    let with = |labels: &[(&'static str, &'static str)], code| [labels, &[("code", code)]].concat();
    type Labels = Vec<(&'static str, &'static str)>;
    #[rustfmt::skip]
    let cases: Vec<(&str, Labels, f64)> = vec![
        ("motet_pipeline_requests_total", with(&typed, "OK"), 3.0),
        ("motet_pipeline_requests_total", with(&typed, "INVALID_ARGUMENT"), 1.0),
        ("motet_pipeline_errors_total", with(&typed, "INVALID_ARGUMENT"), 1.0),
        ("motet_pipeline_errors_total", with(&typed, "OK"), 0.0),
        ("motet_pipeline_requests_total",
            with(&[("pipeline", "rag"), ("surface", "oip")], "OK"), 1.0),
        ("motet_pipeline_duration_seconds_count", with(&typed, "OK"), 3.0),
        ("motet_node_requests_total", with(&[("pipeline", "rag"), ("node", "rank")], "OK"), 4.0),
        ("motet_node_requests_total", with(&[("pipeline", "rag"), ("node", "near")], "OK"), 4.0),
        ("motet_node_duration_seconds_count",
            with(&[("pipeline", "rag"), ("node", "d")], "OK"), 4.0),
        // Nodes q and d.
        ("motet_model_requests_total", with(&[("model", "minilm")], "OK"), 8.0),
        ("motet_model_requests_total", with(&[("model", "minilm")], "INVALID_ARGUMENT"), 1.0),
        ("motet_model_errors_total", with(&[("model", "minilm")], "INVALID_ARGUMENT"), 1.0),
        ("motet_model_duration_seconds_count", with(&[("model", "chunker")], "OK"), 4.0),
        // Rows: three times one query and six passages, then one query and one passage.
        ("motet_batch_rows_sum", vec![("model", "minilm")], 23.0),
        ("motet_queue_wait_seconds_count", vec![("model", "minilm")], 23.0),
        ("motet_queue_depth", vec![("model", "minilm")], 0.0),
        ("motet_server_in_flight", vec![], 0.0),
    ];
    for (name, labels, expected) in cases {
        assert_eq!(grown(name, &labels), expected, "{name} {labels:?}");
    }
    for name in [
        "motet_batch_tokens_sum",
        "motet_batch_duration_seconds_sum",
        "motet_queue_wait_seconds_sum",
    ] {
        assert!(grown(name, &[("model", "minilm")]) > 0.0, "{name}");
    }
    assert_eq!(
        after.value("motet_build_info", &[("service", "motet")]),
        Some(1.0)
    );
    // Only known on Linux.
    if let Some(seen) = process.memory_bytes() {
        let told = after
            .value("motet_process_memory_bytes", &[])
            .expect("it is known");
        assert!(
            (told - seen as f64).abs() < 0.2 * seen as f64,
            "{told} and {seen}"
        );
        assert!(seen < MEMORY_BYTES_MAX, "{seen} bytes");
    }
}

#[tokio::test]
async fn every_metric_is_documented() {
    let page = repository().join("services/runtime/docs/metrics.md");
    let page = std::fs::read_to_string(page).expect("the page of metrics");
    let (_, text) = get(in_process::shared().http, "/metrics")
        .await
        .expect("it answers");
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| *name != "target_info")
        .collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
