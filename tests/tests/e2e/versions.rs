//! Several versions of one model.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;

use motet_proto::inference::*;
use motet_tests::connection::Connection;
use motet_tests::http::Metrics;
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, output, raw, texts};
use motet_tests::wait::until;
use serde_json::json;
use tonic::Code;

use crate::motet;
use crate::processes::endpoint;

/// Two versions that differ in their pooling.
const MODELS: &str = r#"
models:
  "embedder@1":
    task: embed
    source: "builtin:all-minilm-l6-v2"
    batcher: { max_batch_tokens: 64 }
  "embedder@2":
    task: embed
    source: "builtin:all-minilm-l6-v2"
    pooling: cls
    batcher: { max_batch_tokens: 64 }
"#;

const PIPELINE: &str = r#"
pipelines:
  - pipeline: both
    inputs: { text: string }
    nodes:
      old: { model: "embedder@1", in: { text: $text } }
      new: { model: "embedder@2", in: { text: $text } }
    outputs: { old: $old.embedding, new: $new.embedding }
"#;

async fn embedding(connection: &Connection, version: &str) -> (String, Vec<f32>) {
    let mut request = raw("embedder", &[("text", texts(&["tides"]))]);
    request.model_version = version.to_owned();
    let answer = connection.inference().model_infer(request).await;
    let answer = answer.expect("an answer").into_inner();
    assert_eq!(answer.model_name, "embedder");
    assert_eq!(output(&answer, "embedding").shape(), [1, 384]);
    (answer.model_version.clone(), floats(&answer, "embedding"))
}

/// Checks what a server with these models states of them.
async fn check(connection: &Connection) {
    let (first, old) = embedding(connection, "1").await;
    let (second, new) = embedding(connection, "2").await;
    assert_eq!((&*first, &*second), ("1", "2"));
    assert!(max_difference(&old, &new) > 0.01, "other pooling");
    assert_eq!(embedding(connection, "").await, (second, new), "the newest");

    let mut inference = connection.inference();
    let (name, version) = ("embedder".to_owned(), "1".to_owned());
    let metadata = ModelMetadataRequest { name, version };
    let metadata = inference.model_metadata(metadata).await;
    let metadata = metadata.expect("metadata").into_inner();
    assert_eq!(
        (&*metadata.name, metadata.versions),
        ("embedder", vec!["1".into(), "2".into()])
    );
    let index = inference.repository_index(RepositoryIndexRequest::default());
    let index = index.await.expect("an index").into_inner().models;
    let index: Vec<_> = index.iter().map(|m| (&*m.name, &*m.version)).collect();
    assert!(
        index.ends_with(&[("embedder", "1"), ("embedder", "2")]),
        "{index:?}"
    );
    let (name, version) = ("embedder".to_owned(), "2".to_owned());
    let statistics = inference.model_statistics(ModelStatisticsRequest { name, version });
    let statistics = statistics
        .await
        .expect("statistics")
        .into_inner()
        .model_stats;
    assert_eq!(
        (&*statistics[0].version, statistics[0].inference_count),
        ("2", 2)
    );
    let (name, version) = ("embedder".to_owned(), "3".to_owned());
    let ready = inference
        .model_ready(ModelReadyRequest { name, version })
        .await;
    let ready = ready.map(|answer| answer.into_inner().ready);
    assert!(matches!(&ready, Ok(false)) || ready.is_err_and(|e| e.code() == Code::NotFound));
    let mut request = raw("embedder", &[("text", texts(&["tides"]))]);
    request.model_version = "3".to_owned();
    let error = inference
        .model_infer(request)
        .await
        .expect_err("no such version");
    assert_eq!(error.code(), Code::NotFound);
    assert!(
        error.message().contains("no version \"3\"; it has 1, 2"),
        "{error}"
    );
}

async fn pipeline(address: SocketAddr) -> Connection {
    let connection = Connection::open(address).await;
    let both = Service::learn(&connection, "motet.pipeline.Both")
        .await
        .expect("the pipeline");
    let answer = both
        .call("Run", json!({ "text": "tides" }))
        .await
        .expect("an answer");
    for (port, version) in [("old", "1"), ("new", "2")] {
        let values = answer[port].as_array().expect("numbers").iter();
        let values: Vec<f32> = values
            .map(|x| x.as_f64().expect("a number") as f32)
            .collect();
        let (_, expected) = embedding(&connection, version).await;
        assert!(max_difference(&values, &expected) < 1e-5, "{port}");
    }
    connection
}

#[tokio::test]
async fn versions_of_a_model_run_side_by_side() {
    let folder = TempDir::new();
    let models = folder.file("models.yaml", MODELS);
    let all = folder.file("all.yaml", format!("{MODELS}{PIPELINE}"));

    let start = |role: &str, file: &Path, more: &[String]| {
        let program = motet([role]).args([OsStr::new("-f"), file.as_os_str()]);
        program.args(more).on_free_ports().start()
    };
    let mut service = start("serve", &models, &[]);
    let address = service.ready().await.grpc;
    check(&Connection::open(address).await).await;
    let versions = ["embedder@1", "embedder@2"].map(|model| endpoint(model, address));
    let mut gateway = start("gateway", &all, versions.as_flattened());
    pipeline(gateway.ready().await.grpc).await;
    drop((gateway, service));

    let mut together = start("up", &all, &[]);
    let ready = together.ready().await;
    check(&Connection::open(ready.grpc).await).await;
    pipeline(ready.grpc).await;
    let http = ready.http.expect("a port");
    for version in ["embedder@1", "embedder@2"] {
        until("its batches are counted", async || {
            let metrics = Metrics::read(http).await;
            // Of rows that both get, the second may have what the first has just encoded.
            let of_model = |name| metrics.count(name, &[("model", version)]);
            let rows = of_model("motet_batch_rows_sum");
            (rows + of_model("motet_model_rows_reused_total") >= 2.0).then_some(())
        })
        .await;
    }
}
