//! `--watch`: files that change while a server runs.

use motet_tests::connection::Connection;
use motet_tests::http::Metrics;
use motet_tests::program::Process;
use motet_tests::reflected::Service;
use motet_tests::wait::until;
use serde_json::json;
use tonic::Code;

use crate::model_life::{Models, embed, index, run};
use crate::motet;

const CONFIGURATION: &str = "models:\n  m: { task: embed, source: \"file:bert\", batcher: { \
                             max_batch_tokens: 64 } }\npipelines:\n  - ./pipeline.yaml\n";

fn pipeline(output: &str, model: &str) -> String {
    format!(
        "pipeline: watched\ninputs: {{ text: string }}\nnodes:\n  v: {{ model: {model}, in: {{ \
         text: $text }} }}\noutputs: {{ {output}: $v.embedding }}\n"
    )
}

fn start(models: &Models) -> Process {
    let file = models.file.to_str().expect("UTF-8");
    let process = motet(["up", "-f", file, "--watch"]);
    process.on_free_ports().start()
}

/// Returns the names of the outputs of the pipeline.
async fn outputs(connection: &Connection) -> Vec<String> {
    let Ok(watched) = Service::learn(connection, "motet.pipeline.Watched").await else {
        return Vec::new();
    };
    let answer = watched.call("Run", json!({ "text": "tides" })).await;
    let answer = answer.expect("an answer");
    answer
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect()
}

#[tokio::test]
async fn a_changed_pipeline_is_served_and_a_broken_one_changes_nothing() {
    let models = Models::new(CONFIGURATION);
    models.write("pipeline.yaml", &pipeline("first", "m"));
    let mut process = start(&models);
    let ready = process.ready().await;
    let connection = Connection::open(ready.grpc).await;
    assert_eq!(outputs(&connection).await, ["first"]);

    models.write("pipeline.yaml", &pipeline("second", "m"));
    let has = async |name: &str| (outputs(&connection).await == [name]).then_some(());
    until("the changed pipeline", async || has("second").await).await;

    models.write("pipeline.yaml", &pipeline("third", "nothing"));
    process.says("a change of the files is refused").await;
    has("second").await.expect("it goes on");
    let http = ready.http.expect("a port");
    let metrics = Metrics::read(http).await;
    assert_eq!(metrics.count("motet_reload_errors_total", &[]), 1.0);
    assert_eq!(metrics.count("motet_reloads_total", &[]), 1.0);
    let list = run(ready.grpc, &["list"]).await.stdout;
    for part in [
        "were refused",
        "no model is named `nothing`",
        "pipeline.yaml:4:",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }

    models.write("pipeline.yaml", &pipeline("third", "m"));
    until("the mended pipeline", async || has("third").await).await;
    let list = run(ready.grpc, &["list"]).await.stdout;
    assert!(!list.contains("refused"), "{list}");
}

#[tokio::test]
async fn a_changed_model_is_served_and_a_broken_one_changes_nothing() {
    let models = Models::new(CONFIGURATION);
    models.write("pipeline.yaml", &pipeline("vector", "m"));
    let mut process = start(&models);
    let ready = process.ready().await;
    let connection = Connection::open(ready.grpc).await;
    let before = embed(&connection, "m").await.expect("an answer");

    let weights = models.folder.path().join("bert/model.safetensors");
    let bytes = std::fs::read(&weights).expect("weights");
    std::fs::write(&weights, &bytes[..bytes.len() - 8]).expect("written");
    process.says("a change of the files is refused").await;
    assert_eq!(embed(&connection, "m").await.expect("it goes on"), before);
    let states = index(&connection, "m").await;
    assert!(
        states[0].1 == "READY" && states[0].2.contains("truncated"),
        "{states:?}"
    );

    // Other weights of the same shapes.
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let mut changed = bytes.clone();
    for value in changed[start..].as_chunks_mut::<4>().0 {
        *value = (f32::from_le_bytes(*value) * 0.5 + 0.01).to_le_bytes();
    }
    let new = models.folder.path().join("bert/new");
    std::fs::write(&new, changed).expect("written");
    std::fs::rename(new, &weights).expect("renamed");
    let after = until("the changed model", async || {
        let now = embed(&connection, "m").await.expect("no call fails");
        (now != before).then_some(now)
    })
    .await;
    assert_eq!(after.len(), before.len());
    // The model answers a moment before the note of the refusal goes.
    until("no note", async || {
        let states = index(&connection, "m").await;
        states[0].2.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn models_come_and_go_with_the_pipelines_that_call_them() {
    let models = Models::new(CONFIGURATION);
    models.write("pipeline.yaml", &pipeline("first", "m"));
    let mut process = start(&models);
    let ready = process.ready().await;
    let connection = Connection::open(ready.grpc).await;
    let loaded = models.write(
        "own.yaml",
        "models:\n  own: { task: embed, source: \"file:bert\", pooling: cls }\n",
    );
    let loaded = run(ready.grpc, &["load", &loaded]).await;
    assert_eq!(loaded.code, Some(0), "{}", loaded.stderr);

    // Another model, and the pipeline that calls it in place of the first, which goes.
    models.write("pipeline.yaml", &pipeline("second", "d"));
    models.write(
        "motet.yaml",
        &CONFIGURATION.replace(
            "  m: { task: embed, source: \"file:bert\"",
            "  d: { task: embed, \
                                source: \"file:distilbert\"",
        ),
    );
    until("the other model", async || {
        (outputs(&connection).await == ["second"]).then_some(())
    })
    .await;
    until("the end of the first", async || {
        index(&connection, "m").await.is_empty().then_some(())
    })
    .await;
    let gone = embed(&connection, "m").await.expect_err("it is gone");
    assert_eq!(gone.code(), Code::NotFound);
    embed(&connection, "own")
        .await
        .expect("what was loaded stays");

    // A change that takes a restart.
    models.write("motet.yaml", "server: { grpc: \"127.0.0.1:1\" }\n");
    process
        .says("`server` has changed, which takes a restart")
        .await;
    embed(&connection, "d").await.expect("it goes on");
}
