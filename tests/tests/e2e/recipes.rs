//! Recipes for Ray Data and Spark: rows of Parquet, answered by way of their workers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use motet_tests::certificates::Authority;
use motet_tests::http::Metrics;
use motet_tests::program::{Process, Program, Ready};
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::within;
use tokio::time::sleep;

use crate::clients::{find, run};
use crate::motet;

/// Rows, of which some are mistaken.
const ROWS: usize = 1000;
/// Answers of a gateway before it is killed.
const ANSWERS: f64 = 150.0;
/// The time between two looks at a gateway.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest that a cluster may take to start and to answer all rows. Only a failing test waits
/// this long.
const BOUND: Duration = Duration::from_secs(300);

/// A pipeline with a model, whose columns have most types.
const TICKETS: &str = r#"
models:
  minilm: { task: embed, source: "builtin:all-minilm-l6-v2" }
pipelines:
  - pipeline: tickets
    inputs:
      text: string
      score: "float[N]"
      label: "string[N]"
      box: { type: "float[M,2]", optional: true }
      picture: { type: bytes, optional: true }
      k: { type: int, default: 1, min: 1, max: 3 }
    nodes:
      v:     { model: minilm, in: { text: $text } }
      best:  { op: topk, in: { score: $score }, with: { k: $k } }
      shown: { op: gather, in: { label: $label, score: $score, index: $best.index } }
    outputs:
      vector: $v.embedding
      best: { index: $best.index, score: $shown.score, label: $shown.label }
      box: $box
      picture: $picture
"#;

/// Pipelines without models, for callers with a key.
const WITHOUT_MODELS: &str = r#"
server:
  max_message_bytes: 10000
  tls: { cert: ./tls.crt, key: ./tls.key }
  auth: { keys: ./keys.yaml }
pipelines:
  - pipeline: best
    inputs:
      score: "float[N]"
      name: { type: string, default: nobody }
    nodes: { top: { op: topk, in: { score: $score }, with: { k: 1 } } }
    outputs: { best: $top.score, name: $name }
  - pipeline: kinds
    inputs:
      a: "u64[N]"
      b: u8
      c: f64
      d: "i64[N,2]"
      e: "f32[N,1,1]"
      f: bool
      g: "bytes[N]"
      h: "string[N,2]"
    outputs: { a: $a, b: $b, c: $c, d: $d, e: $e, f: $f, g: $g, h: $h }
"#;

/// Returns the Python that has these modules.
fn python(modules: &str) -> Option<PathBuf> {
    find("MOTET_RECIPES_PYTHON", "python3", &["-c", modules])
}

fn client(name: &str) -> String {
    let path = repository().join("tests/clients").join(name);
    path.display().to_string()
}

fn recipes() -> PathBuf {
    repository().join("deploy/recipes")
}

/// Starts a gateway at an address, and returns it with its addresses.
async fn up(file: &Path, address: &str) -> (Process, Ready) {
    let args = ["--grpc", address, "--http", "127.0.0.1:0"];
    let mut process = motet(["up"]).args([file]).args(args).start();
    let ready = process.ready().await;
    (process, ready)
}

/// Requests that the pipeline of a gateway has answered.
async fn answered(ready: &Ready) -> f64 {
    let metrics = Metrics::read(ready.http.expect("HTTP is on")).await;
    let labels = [("pipeline", "tickets"), ("surface", "typed")];
    metrics.count("motet_pipeline_requests_total", &labels)
}

/// Runs a recipe while its gateway is killed and comes back, and compares what it writes with what
/// `motet batch` writes.
async fn answers_as_a_batch(python: PathBuf, recipe: impl FnOnce(Program) -> Program) {
    let folder = TempDir::new();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let lake = client("lake.py");
    run(&python, &[&lake, "rows", &path("rows"), &ROWS.to_string()]);
    let file = folder.file("tickets.yaml", TICKETS);
    let columns = ["--map", "text=ticket", "--keep", "id"];

    let pattern = path("rows/*.parquet");
    let batch = ["batch", "tickets", "--format", "parquet", "--in", &pattern];
    let ended = motet(batch)
        .args(["--out", &path("expected"), "-f"])
        .args([&file])
        .args(columns)
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let (gateway, ready) = up(&file, "127.0.0.1:0").await;
    let address = ready.grpc.to_string();
    let program = Program::new(&python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HOME", folder.path())
        .env("RAY_TMPDIR", folder.path())
        .env("SPARK_LOCAL_DIRS", folder.path())
        .folder(folder.path());
    let mut running = recipe(program)
        .args(["tickets", "--in", &path("rows"), "--out", &path("answers")])
        .args(["--to", &address, "--batch", "100"])
        .args(columns)
        .start();
    // A cluster takes longer to start than other programs.
    within(BOUND, "some answers", async {
        while answered(&ready).await < ANSWERS && !running.has_ended() {
            sleep(PAUSE).await;
        }
    })
    .await;
    gateway.kill().await;
    let (gateway, ready) = up(&file, &address).await;
    let ended = running.end_within(BOUND).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert!(answered(&ready).await > 0.0, "it was killed at the end");
    gateway.kill().await;
    let same = run(
        &python,
        &[&lake, "same", &path("answers"), &path("expected")],
    );
    assert_eq!(same.trim(), "ok");
}

#[tokio::test]
async fn ray_data_answers_what_a_batch_does_also_when_its_gateway_is_killed() {
    let Some(python) = python("import grpc_reflection, google.rpc, ray.data") else {
        return;
    };
    answers_as_a_batch(python, |program| {
        program
            .env("RAY_USAGE_STATS_ENABLED", "0")
            .args([recipes().join("ray_data.py")])
            .args(["--workers", "2"])
    })
    .await;
}

#[tokio::test]
async fn spark_answers_what_a_batch_does_also_when_its_gateway_is_killed() {
    let Some(python) = python("import grpc_reflection, google.rpc, pyspark") else {
        return;
    };
    if find("MOTET_JAVA", "java", &["-version"]).is_none() {
        return;
    }
    let workers = python.clone();
    answers_as_a_batch(python, |program| {
        program
            .env("PYSPARK_PYTHON", workers)
            .env("SPARK_LOCAL_IP", "127.0.0.1")
            .args([recipes().join("spark.py")])
            .args(["--partitions", "4"])
    })
    .await;
}

#[tokio::test]
async fn workers_keep_rows_apart_over_tls_with_a_key() {
    let Some(python) = python("import grpc_reflection, google.rpc, pyarrow") else {
        return;
    };
    let folder = TempDir::new();
    let authority = Authority::new("the tests");
    authority.server(&["localhost"]).write(folder.path());
    folder.file("ca.crt", authority.pem());
    let key = async |name: &str, limit: &[&str]| {
        let command = ["keys", "new", name, "--may", "call:*"];
        let made = motet(command).args(limit).folder(folder.path());
        let made = made.run().await;
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        made.stdout.trim().to_owned()
    };
    let keys = [
        key("lake", &[]).await,
        key("pond", &["--requests-per-second", "20"]).await,
    ];
    let file = folder.file("motet.yaml", WITHOUT_MODELS);
    let (_gateway, ready) = up(&file, "127.0.0.1:0").await;
    let address = format!("localhost:{}", ready.grpc.port());
    let ended = Program::new(&python)
        .env("PYTHONPATH", recipes())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args([client("by_worker.py"), address])
        .args([folder.path().display().to_string()])
        .args(keys)
        .run()
        .await;
    assert_eq!(ended.stdout.trim(), "ok", "{}", ended.stderr);
}
