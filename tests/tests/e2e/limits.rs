//! Resources of a process that run out, and how they are shared: file descriptors, health watches,
//! requests of a stream, executors.

use motet_tests::connection::Connection;
use motet_tests::http::Metrics;
use motet_tests::in_process;
use motet_tests::program::Program;
use motet_tests::proxy::Proxy;
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, raw, texts};
use motet_tests::wait::{soon, until};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::motet;
use crate::processes::endpoint;
use crate::rag::PASSAGES;

/// A configuration that calls no models.
const ECHO: &str = "server: { max_concurrent_requests: 1 }\npipelines:\n  - pipeline: echo\n    \
                    inputs: { text: string }\n    nodes: { t: { op: select, in: { text: $text } } \
                    }\n    \
                    outputs: { text: $t.text }\n";

/// The requests of one stream that run at the same time.
const STREAM_REQUESTS_MAX: usize = 64;

async fn echo(connection: &Connection) -> Option<Value> {
    let service = Service::learn(connection, "motet.pipeline.Echo")
        .await
        .ok()?;
    service.call("Run", json!({"text": "hello"})).await.ok()
}

#[tokio::test]
async fn a_process_with_few_file_descriptors_says_so_and_serves_who_comes_last() {
    let line = format!(
        "ulimit -n 64; exec '{}' up - --grpc 127.0.0.1:0 --http off",
        env!("CARGO_BIN_EXE_motet-e2e")
    );
    let program = Program::new("sh").args(["-c", &line]).stdin(ECHO);
    let mut process = program.start();
    process.says("too few file descriptors").await;
    let address = process.ready().await.grpc;
    let first = Connection::open(address).await;
    let answer = json!({"text": "hello"});
    assert_eq!(echo(&first).await, Some(answer.clone()));
    // Far more than it can have: those that have been idle for longest are closed.
    let mut connections = Vec::new();
    for _ in 0..100 {
        connections.push(TcpStream::connect(address).await.expect("the backlog"));
    }
    let last = until("a new connection", async || {
        echo(&Connection::try_open(address).await?).await
    });
    assert_eq!(last.await, answer);
    drop(connections);
    let again = until("the first connection", async || echo(&first).await);
    assert_eq!(again.await, answer);
    process.signal("TERM");
    assert_eq!(process.end().await.code, Some(0));
}

#[tokio::test]
async fn health_watches_take_no_capacity_and_end_with_the_process() {
    let mut process = motet(["up", "-"]).stdin(ECHO).on_free_ports().start();
    let ready = process.ready().await;
    let mut watches = Vec::new();
    for _ in 0..4 {
        let connection = Connection::open(ready.grpc).await;
        for _ in 0..60 {
            let request = HealthCheckRequest::default();
            let watch = connection.health().watch(request).await.expect("a watch");
            watches.push(watch.into_inner());
        }
    }
    for watch in &mut watches {
        let health = soon("health", watch.message()).await.expect("no error");
        assert_eq!(health.expect("health").status(), ServingStatus::Serving);
    }
    // The limit is one request.
    let connection = Connection::open(ready.grpc).await;
    assert!(echo(&connection).await.is_some());
    let metrics = Metrics::read(ready.http.expect("HTTP is on")).await;
    assert_eq!(metrics.count("motet_server_in_flight", &[]), 0.0);
    assert_eq!(metrics.count("motet_server_refused_total", &[]), 0.0);
    process.signal("TERM");
    for watch in &mut watches {
        let health = soon("health", watch.message()).await.expect("no error");
        assert_eq!(health.expect("health").status(), ServingStatus::NotServing);
    }
    let ended = process.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("dropped=0"), "{}", ended.stderr);
}

/// Each request of a stream counts against the limit of the process while it runs, and a stream
/// runs a limited number of them.
#[tokio::test]
async fn the_requests_of_a_stream_count_and_a_limited_number_of_them_runs() {
    const REQUESTS: usize = STREAM_REQUESTS_MAX + 6;
    let proxy = Proxy::start(in_process::connect().await).await;
    let folder = TempDir::new();
    let file = folder.file(
        "motet.yaml",
        "server: { max_concurrent_requests: 100 }\n\
         models: { minilm: { endpoint: \"grpc://0.0.0.0:1\" } }\n\
         pipelines:\n  - pipeline: one\n    inputs: { text: string }\n    \
         deadline: { default: 60s, max: 60s }\n    \
         nodes: { e: { model: minilm, in: { text: $text } } }\n    outputs: { v: $e.embedding }\n",
    );
    let mut gateway = motet(["gateway"])
        .args([&file])
        .args(endpoint("minilm", proxy.address))
        .on_free_ports()
        .start();
    let ready = gateway.ready().await;
    let one = Service::learn(&Connection::open(ready.grpc).await, "motet.pipeline.One").await;
    let one = one.expect("it is served");
    proxy.close();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|n| one.message("RunStream", &json!({"text": format!("text {n}")})))
        .collect();
    let requests = Request::new(tokio_stream::iter(requests));
    let mut answers = one.stream("RunStream", requests).await.expect("a stream");
    proxy.holds(STREAM_REQUESTS_MAX).await;
    let metrics = Metrics::read(ready.http.expect("HTTP is on")).await;
    let running = metrics.count("motet_server_in_flight", &[]);
    assert_eq!(running, STREAM_REQUESTS_MAX as f64);
    proxy.open();
    for _ in 0..REQUESTS {
        let answer = soon("an answer", answers.next()).await.expect("no error");
        let answer = answer.expect("an answer");
        assert_eq!(answer["v"].as_array().map(Vec::len), Some(384), "{answer}");
    }
    assert!(
        soon("the end", answers.next())
            .await
            .expect("no error")
            .is_none()
    );
}

/// Several executors share the cores, and each computes the same bits as one.
#[tokio::test]
async fn several_executors_answer_as_one_does() {
    let config = "models:\n  minilm:\n    task: embed\n    source: \
    \"builtin:all-minilm-l6-v2\"\n    \
                  batcher: { executors: 2, max_batch_tokens: 256 }\n";
    let mut process = motet(["serve", "-"]).stdin(config).on_free_ports().start();
    let ready = process.ready().await;
    let several = Connection::open(ready.grpc).await;
    let one = in_process::connect().await;
    let embed = async |connection: &Connection, texts_of_call: &[String]| {
        let request = raw("minilm", &[("text", texts(texts_of_call))]);
        let answer = connection.inference().model_infer(request).await;
        floats(&answer.expect("an answer").into_inner(), "embedding")
    };
    let calls: Vec<Vec<String>> = (0..16)
        .map(|call| {
            let text = |row: usize| PASSAGES[(call + row) % PASSAGES.len()].repeat(1 + row);
            (0..1 + call % 4).map(text).collect()
        })
        .collect();
    for _ in 0..2 {
        let mut answers = Vec::new();
        for call in &calls {
            let (connection, call) = (several.clone(), call.clone());
            answers.push(tokio::spawn(async move {
                let request = raw("minilm", &[("text", texts(&call))]);
                let answer = connection.inference().model_infer(request).await;
                floats(&answer.expect("an answer").into_inner(), "embedding")
            }));
        }
        for (call, answer) in calls.iter().zip(answers) {
            let answer = soon("an answer", answer).await.expect("it ran");
            assert_eq!(answer, embed(&one, call).await, "{call:?}");
        }
    }
}
