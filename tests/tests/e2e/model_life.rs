//! Models that are loaded, replaced and unloaded while a server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use motet_proto::inference::model_repository_parameter::ParameterChoice;
use motet_proto::inference::*;
use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::program::{Ended, Process};
use motet_tests::reflected::Service;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, raw, texts};
use motet_tests::wait::until;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::motet;
use crate::processes::endpoint;

/// Copies a model of the fixtures.
fn copy_model(name: &str, to: &Path) {
    copy(&repository().join("tests/fixtures").join(name), to);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

/// A folder with models, and a configuration that names one of them.
pub(crate) struct Models {
    pub(crate) folder: TempDir,
    pub(crate) file: PathBuf,
}

impl Models {
    pub(crate) fn new(configuration: &str) -> Self {
        let folder = TempDir::new();
        for name in ["bert", "distilbert"] {
            copy_model(name, &folder.path().join(name));
        }
        let file = folder.file("motet.yaml", configuration);
        Self { folder, file }
    }

    fn start(&self, role: &str) -> Process {
        let file = self.file.to_str().expect("UTF-8");
        motet([role, "-f", file]).on_free_ports().start()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let file = self.folder.file(name, text);
        file.to_str().expect("UTF-8").to_owned()
    }
}

pub(crate) const ONE: &str = "models:\n  m: { task: embed, source: \"file:bert\", batcher: { \
                   max_batch_tokens: 64 } }\n";

const PIPELINE: &str = "pipelines:\n  - pipeline: vectors\n    inputs: { text: \"string[N]\" }\n    \
                        nodes:\n      v: { model: m, in: { text: $text } }\n    outputs: { \
                        vector: $v.embedding }\n";

pub(crate) async fn embed(connection: &Connection, model: &str) -> Result<Vec<f32>, Status> {
    let request = raw(model, &[("text", texts(&["tides and moons"]))]);
    let answer = connection.inference().model_infer(request).await?;
    Ok(floats(&answer.into_inner(), "embedding"))
}

pub(crate) async fn load(
    connection: &Connection,
    name: &str,
    config: Option<&str>,
) -> Result<(), Status> {
    let parameter = |text: &str| ModelRepositoryParameter {
        parameter_choice: Some(ParameterChoice::StringParam(text.to_owned())),
    };
    let request = RepositoryModelLoadRequest {
        model_name: name.to_owned(),
        parameters: config
            .map(|text| ("config".to_owned(), parameter(text)))
            .into_iter()
            .collect(),
        ..Default::default()
    };
    let answer = connection.inference().repository_model_load(request).await;
    answer.map(|_| ())
}

pub(crate) async fn unload(connection: &Connection, name: &str) -> Result<(), Status> {
    let request = RepositoryModelUnloadRequest {
        model_name: name.to_owned(),
        ..Default::default()
    };
    let answer = connection
        .inference()
        .repository_model_unload(request)
        .await;
    answer.map(|_| ())
}

/// Returns version, state and reason of each model of a name.
pub(crate) async fn index(connection: &Connection, name: &str) -> Vec<(String, String, String)> {
    let request = RepositoryIndexRequest::default();
    let answer = connection.inference().repository_index(request).await;
    let models = answer.expect("an index").into_inner().models.into_iter();
    models
        .filter(|model| model.name == name)
        .map(|model| (model.version, model.state, model.reason))
        .collect()
}

fn check(error: &Status, code: Code, reason: &str, parts: &[&str]) {
    assert_eq!(
        (error.code(), &*status::read(error).reason),
        (code, reason),
        "{error}"
    );
    for part in parts {
        assert!(error.message().contains(part), "{part}: {error}");
    }
}

pub(crate) async fn run(address: std::net::SocketAddr, args: &[&str]) -> Ended {
    let address = address.to_string();
    motet(args).env("MOTET_ADDRESS", address).run().await
}

/// Returns the text of a model `m` with this source and pooling.
fn with_pooling(source: &str, pooling: &str) -> String {
    format!(
        "models: {{ m: {{ task: embed, source: \"file:{source}\", pooling: {pooling}, batcher: {{ \
         max_batch_tokens: 64 }} }} }}"
    )
}

#[tokio::test]
async fn a_model_is_replaced_without_a_failed_call() {
    let models = Models::new(&format!("{ONE}{PIPELINE}"));
    let mut process = models.start("up");
    let connection = process.connect().await;
    let first = embed(&connection, "m").await.expect("an answer");

    let (stop, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let vectors = Service::learn(&connection, "motet.pipeline.Vectors").await;
    let vectors = Arc::new(vectors.expect("the pipeline"));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (stop, calls) = (stop.clone(), calls.clone());
            let (connection, vectors) = (connection.clone(), vectors.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if caller % 2 == 0 {
                        embed(&connection, "m").await.expect("an answer");
                    } else {
                        let answer = vectors.call("Run", json!({ "text": ["a", "b"] })).await;
                        answer.expect("an answer");
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..50 {
        let pooling = ["cls", "mean"][round % 2];
        let config = with_pooling("bert", pooling);
        load(&connection, "m", Some(&config))
            .await
            .expect("it is loaded");
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no call failed");
    }
    assert!(calls.load(Ordering::Relaxed) > 50, "{calls:?}");

    // The pipeline gets the new one without being loaded anew.
    let config = with_pooling("bert", "cls");
    load(&connection, "m", Some(&config))
        .await
        .expect("it is loaded");
    let cls = embed(&connection, "m").await.expect("an answer");
    assert!(max_difference(&first, &cls) > 1e-3, "another pooling");
    let request = raw("vectors", &[("text", texts(&["tides and moons"]))]);
    let answer = connection.inference().model_infer(request).await;
    let vector = floats(&answer.expect("an answer").into_inner(), "vector");
    assert_eq!(vector, cls);
}

#[tokio::test]
async fn what_a_pipeline_calls_is_neither_taken_away_nor_changed_under_it() {
    let models = Models::new(&format!("{ONE}{PIPELINE}"));
    let mut process = models.start("up");
    let connection = process.connect().await;

    let error = unload(&connection, "m").await.expect_err("it is called");
    check(
        &error,
        Code::FailedPrecondition,
        "MODEL_IN_USE",
        &["model m is called by pipeline vectors"],
    );
    let tokens = "models: { m: { task: embed_tokens, source: \"file:bert\" } }";
    let error = load(&connection, "m", Some(tokens)).await;
    let error = error.expect_err("it gives something else");
    check(
        &error,
        Code::FailedPrecondition,
        "MODEL_IN_USE",
        &[
            "pipeline vectors",
            "it gives `embedding: float[T,",
            "before `embedding: float[N,",
        ],
    );
    embed(&connection, "m").await.expect("it goes on");
    let error = load(
        &connection,
        "vectors",
        Some("models: { vectors: { task: embed, source: \"file:bert\" } }"),
    );
    let error = error.await.expect_err("the name is a pipeline's");
    check(&error, Code::AlreadyExists, "NAME_TAKEN", &["vectors"]);

    // A pipeline is a model of the protocol; once it is gone, so may be its model.
    unload(&connection, "vectors")
        .await
        .expect("it is unloaded");
    unload(&connection, "m").await.expect("it is unloaded");
    let error = embed(&connection, "m").await.expect_err("it is gone");
    check(&error, Code::NotFound, "MODEL_NOT_FOUND", &["m"]);
    let unloaded = (
        "1".to_owned(),
        "UNAVAILABLE".to_owned(),
        "unloaded".to_owned(),
    );
    assert_eq!(index(&connection, "m").await, [unloaded]);
    load(&connection, "m", Some(tokens))
        .await
        .expect("nothing calls it");
    let request = raw("m", &[("text", texts(&["a"]))]);
    let answer = connection.inference().model_infer(request).await;
    let answer = answer.expect("an answer").into_inner();
    assert!(answer.outputs[0].shape[0] > 1, "a vector for each token");
    // New pipelines are checked against the model that is there now.
    let pipeline = PIPELINE
        .trim_start_matches("pipelines:\n  - ")
        .replace("\n    ", "\n");
    let request = motet_proto::v1::LoadRequest { yaml: pipeline };
    let loaded = connection.pipelines().load(request).await;
    assert!(loaded.is_ok(), "{loaded:?}");
    let described = motet_proto::v1::DescribeRequest {
        name: "vectors".to_owned(),
    };
    let described = connection.pipelines().describe(described).await;
    let described = described.expect("a description").into_inner();
    assert!(described.outputs[0].r#type.contains(','), "{described:?}");
}

#[tokio::test]
async fn versions_come_and_go_side_by_side() {
    let models = Models::new("models:\n  \"e@1\": { task: embed, source: \"file:bert\" }\n");
    let mut process = models.start("serve");
    let connection = process.connect().await;
    let one = embed(&connection, "e").await.expect("an answer");
    let two = "models: { \"e@2\": { task: embed, source: \"file:bert\", pooling: cls } }";
    load(&connection, "e@2", Some(two))
        .await
        .expect("it is loaded");
    let version = async |version: &str| {
        let mut request = raw("e", &[("text", texts(&["tides and moons"]))]);
        request.model_version = version.to_owned();
        let answer = connection
            .inference()
            .model_infer(request)
            .await?
            .into_inner();
        let values = floats(&answer, "embedding");
        Ok::<_, Status>((answer.model_version, values))
    };
    assert_eq!(version("1").await.expect("an answer").1, one);
    let (newest, second) = version("").await.expect("an answer");
    assert_eq!(newest, "2", "the newest");
    assert!(max_difference(&one, &second) > 1e-3);
    let states: Vec<String> = index(&connection, "e")
        .await
        .into_iter()
        .map(|m| m.0)
        .collect();
    assert_eq!(states, ["1", "2"]);
    unload(&connection, "e@2").await.expect("it is unloaded");
    assert_eq!(version("").await.expect("an answer").0, "1");
    let error = version("2").await.expect_err("it is gone");
    check(&error, Code::NotFound, "VERSION_NOT_FOUND", &["it has 1"]);
    load(&connection, "e@2", Some(two))
        .await
        .expect("it is loaded");
    unload(&connection, "e").await.expect("both are unloaded");
    let error = embed(&connection, "e").await.expect_err("all are gone");
    assert_eq!(error.code(), Code::NotFound);
    // The one that the file names can be had again by its name.
    load(&connection, "e@1", None).await.expect("it is loaded");
    assert_eq!(embed(&connection, "e").await.expect("an answer"), one);
    let error = load(&connection, "e@2", None).await;
    let error = error.expect_err("the file does not name it");
    check(
        &error,
        Code::NotFound,
        "MODEL_NOT_FOUND",
        &["own configuration"],
    );
}

/// Paths of a sent model start at the folder of the server's file, also where that has no models.
#[tokio::test]
async fn paths_of_a_sent_model_start_at_the_file() {
    let models = Models::new("pipelines: []\n");
    let mut process = models.start("up");
    let connection = Connection::open(process.ready().await.grpc).await;
    let config = "models: { m: { task: embed, source: \"file:bert\" } }";
    let loaded = load(&connection, "m", Some(config)).await;
    loaded.expect("it is found beside the file");
    embed(&connection, "m").await.expect("an answer");
}

#[tokio::test]
async fn what_cannot_be_loaded_changes_nothing() {
    let models = Models::new(ONE);
    let mut process = models.start("up");
    let ready = process.ready().await;
    let connection = Connection::open(ready.grpc).await;
    let before = embed(&connection, "m").await.expect("an answer");
    let weights = models.folder.path().join("distilbert/model.safetensors");
    let bytes = std::fs::read(&weights).expect("weights");
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).expect("written");
    let model = |keys: &str| format!("models: {{ m: {{ {keys} }} }}");
    for (config, code, reason, parts) in [
        (
            model("task: embed, source: \"file:nowhere\""),
            Code::InvalidArgument,
            "BAD_MODEL",
            &["config:1:", "nowhere"][..],
        ),
        (
            model("task: embed, source: \"file:bert\", poolign: cls"),
            Code::InvalidArgument,
            "BAD_MODEL",
            &["did you mean `pooling`?"],
        ),
        (
            model("task: embed, source: \"file:distilbert\""),
            Code::InvalidArgument,
            "BAD_MODEL",
            &["distilbert", "bytes"],
        ),
        (
            "models: { other: { task: embed, source: \"file:bert\" } }".to_owned(),
            Code::NotFound,
            "MODEL_NOT_FOUND",
            &["the text has no model \"m\""],
        ),
        (
            model("endpoint: \"grpc://127.0.0.1:1\""),
            Code::FailedPrecondition,
            "MODELS_ARE_FIXED",
            &["no `task`"],
        ),
        (
            ": [".to_owned(),
            Code::InvalidArgument,
            "BAD_MODEL",
            &["config:1:"],
        ),
    ] {
        let error = load(&connection, "m", Some(&config)).await;
        let error = error.expect_err(&config);
        check(&error, code, reason, parts);
        assert_eq!(embed(&connection, "m").await.expect("it goes on"), before);
    }
    let ready = ("1".to_owned(), "READY".to_owned(), String::new());
    assert_eq!(index(&connection, "m").await, [ready]);

    let unknown = unload(&connection, "nothing").await;
    check(
        &unknown.expect_err("no such model"),
        Code::NotFound,
        "MODEL_NOT_FOUND",
        &["nothing"],
    );
    let request = RepositoryModelLoadRequest {
        model_name: "m".to_owned(),
        parameters: [(
            "file:1/model.bin".to_owned(),
            ModelRepositoryParameter::default(),
        )]
        .into(),
        ..Default::default()
    };
    let error = connection.inference().repository_model_load(request).await;
    assert_eq!(
        error.expect_err("no files are taken").code(),
        Code::InvalidArgument
    );
}

/// Memory that a model has taken is free for the next one. What grows by each cycle, such as a
/// thread pool that is never freed, would show here: the model itself takes little.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_does_not_grow_with_models_that_came_and_went() {
    const CYCLES: usize = 400;
    let models = Models::new("pipelines: []\n");
    let source = models.folder.path().join("bert");
    let config = with_pooling(&source.display().to_string(), "mean");
    let mut process = models.start("up");
    let connection = process.connect().await;
    let cycles = async |count: usize| {
        for _ in 0..count {
            load(&connection, "m", Some(&config))
                .await
                .expect("it is loaded");
            embed(&connection, "m").await.expect("a vector");
            unload(&connection, "m").await.expect("it is unloaded");
        }
        process.memory_bytes().expect("Linux tells it") as f64
    };
    // Until the allocator has what it needs.
    let plateau = cycles(CYCLES / 4).await;
    let end = cycles(CYCLES).await;
    assert!(end < 1.05 * plateau, "{plateau} bytes, then {end}");
}

#[tokio::test]
async fn the_commands_load_list_and_unload_models() {
    let models = Models::new(&format!("{ONE}{PIPELINE}"));
    let mut process = models.start("up");
    let address = process.ready().await.grpc;
    let connection = Connection::open(address).await;
    let more = models.write(
        "more.yaml",
        "# Two models and a pipeline.\nmodels:\n  c: { task: preprocess, tokenizer: d }\n  \
         d: { task: embed, source: \"file:distilbert\" }\npipelines:\n  - pipeline: split\n    \
         inputs: { text: \"string[N]\" }\n    nodes:\n      v: { model: d, in: { text: $text } }\n    \
         outputs: { vector: $v.embedding }\n",
    );
    let loaded = run(address, &["load", &more]).await;
    assert_eq!((loaded.code, &*loaded.stderr), (Some(0), ""));
    assert_eq!(
        loaded.stdout,
        "loaded model c\nloaded model d\nloaded split (version 1, service motet.pipeline.Split)\n"
    );
    embed(&connection, "d").await.expect("an answer");
    let list = run(address, &["list"]).await.stdout;
    let tables: Vec<&str> = list.split("\n\n").collect();
    assert!(
        tables[0].contains("split ") && !tables[0].contains("\nd "),
        "{list}"
    );
    let rows: Vec<Vec<&str>> = tables[1]
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["MODEL", "VERSION", "STATE", "REASON"]);
    assert_eq!(
        rows[1..],
        [
            ["m", "1", "READY"],
            ["c", "1", "READY"],
            ["d", "1", "READY"]
        ]
    );

    let refused = run(address, &["unload", "d"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("pipeline split"),
        "{}",
        refused.stderr
    );
    for name in ["split", "d", "c"] {
        let unloaded = run(address, &["unload", name]).await;
        assert_eq!(
            unloaded.stdout,
            format!("unloaded {name}\n"),
            "{}",
            unloaded.stderr
        );
    }
    let list = run(address, &["list", "--json"]).await.stdout;
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(
        list["models"],
        json!([{ "name": "m", "version": "1", "state": "READY", "reason": "" }])
    );
    let one = run(address, &["load", &more, "--model", "d"]).await;
    assert_eq!(one.stdout, "loaded model d\n", "{}", one.stderr);
    let own = run(address, &["load", "--model", "m"]).await;
    assert_eq!(own.stdout, "loaded model m\n", "{}", own.stderr);

    let wrong = models.write(
        "wrong.yaml",
        "# A mistake.\nmodels:\n  w: { task: embed, source: \"file:no\" }\n",
    );
    let ended = run(address, &["load", &wrong]).await;
    assert_eq!(
        (ended.code, &*ended.stdout),
        (Some(2), ""),
        "{}",
        ended.stderr
    );
    let place = format!("--> {wrong}:3:");
    assert!(ended.stderr.contains(&place), "{}", ended.stderr);
    let none = run(address, &["load", &more, "--model", "x"]).await;
    assert!(none.stderr.contains("no model `x`"), "{}", none.stderr);
}

#[tokio::test]
async fn a_gateway_elsewhere_sees_models_go_and_come_back() {
    let models = Models::new(ONE);
    let mut service = models.start("serve");
    let address = service.ready().await.grpc;
    let file = models.write("gateway.yaml", &format!("{ONE}{PIPELINE}"));
    let gateway = motet(["gateway", "-f", &file]).args(endpoint("m", address));
    let mut gateway = gateway.on_free_ports().start();
    let gateway = gateway.connect().await;
    let error = load(&gateway, "m", None)
        .await
        .expect_err("it runs elsewhere");
    check(
        &error,
        Code::FailedPrecondition,
        "MODELS_ARE_FIXED",
        &[&address.to_string()],
    );
    let error = unload(&gateway, "m").await.expect_err("it runs elsewhere");
    check(
        &error,
        Code::FailedPrecondition,
        "MODELS_ARE_FIXED",
        &[&address.to_string()],
    );

    let ready = async || {
        let request = ModelReadyRequest {
            name: "vectors".to_owned(),
            ..Default::default()
        };
        let answer = gateway.inference().model_ready(request).await;
        answer.expect("an answer").into_inner().ready
    };
    assert!(ready().await);
    let connection = Connection::open(address).await;
    unload(&connection, "m").await.expect("it is unloaded");
    assert!(!ready().await);
    load(&connection, "m", None).await.expect("it is loaded");
    assert!(ready().await);
    embed(&gateway, "m").await.expect("an answer");
}

/// A gateway keeps rows of answers of a model in another process, and learns that it is another one.
#[tokio::test]
async fn a_gateway_elsewhere_sees_that_a_model_was_replaced() {
    let models = Models::new(ONE);
    let mut service = models.start("serve");
    let address = service.ready().await.grpc;
    let cached = PIPELINE.replace("{ text: $text } }", "{ text: $text }, cache: {} }");
    assert_ne!(cached, PIPELINE);
    let file = models.write("gateway.yaml", &format!("{ONE}{cached}"));
    let gateway = motet(["gateway", "-f", &file]).args(endpoint("m", address));
    let mut gateway = gateway.on_free_ports().start();
    let connection = gateway.connect().await;
    let service = Connection::open(address).await;
    let answer = async || {
        let request = raw("vectors", &[("text", texts(&["tides and moons"]))]);
        let answer = connection.inference().model_infer(request).await;
        answer.map(|answer| floats(&answer.into_inner(), "vector"))
    };
    // Of a model with the same signature, the kept rows are forgotten.
    for pooling in ["mean", "cls", "max"] {
        let config = with_pooling("bert", pooling);
        load(&service, "m", Some(&config))
            .await
            .expect("it is loaded");
        let expected = embed(&service, "m").await.expect("a vector");
        until(pooling, async || {
            let found = answer().await.expect("a vector");
            (found == expected).then_some(())
        })
        .await;
        assert_eq!(answer().await.expect("a vector"), expected);
    }
    // One with another signature is not called by a pipeline that was checked with the first.
    let other = with_pooling("bert", "mean, output_dtype: f16");
    load(&service, "m", Some(&other))
        .await
        .expect("it is loaded");
    let is_serving = async || {
        let request = HealthCheckRequest {
            service: "vectors".to_owned(),
        };
        let health = connection.health().check(request).await;
        health.expect("an entry").into_inner().status() == ServingStatus::Serving
    };
    until("it is not served", async || {
        (!is_serving().await).then_some(())
    })
    .await;
    gateway
        .says("a model in another process takes or gives something else")
        .await;
    load(&service, "m", None).await.expect("it is loaded");
    until("it is served", async || is_serving().await.then_some(())).await;
    let expected = embed(&service, "m").await.expect("a vector");
    assert_eq!(answer().await.expect("a vector"), expected);
}
