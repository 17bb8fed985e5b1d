//! Services that are killed, hang, answer errors or lose connections, and what callers of a gateway
//! in front of them get. Outcomes are counted, not timed.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use motet::process::Running;
use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::http::{Metrics, get};
use motet_tests::in_process;
use motet_tests::other_server::{OtherServer, Reflection, Reply, compile};
use motet_tests::program::Ready;
use motet_tests::reflected::Service;
use motet_tests::repository;
use motet_tests::tcp_proxy::TcpProxy;
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::until;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::motet;
use crate::processes::{endpoint, serve};
use crate::rag::{PASSAGES, QUESTIONS, check_results, rag};

/// One way of what passes the proxy.
const DELAY: Duration = Duration::from_millis(1);

/// Starts a gateway with these pipelines, whose model `minilm` is at this address.
async fn gateway(minilm: SocketAddr, pipelines: &str) -> (Running, Connection) {
    let folder = TempDir::new();
    let file = folder.file(
        "motet.yaml",
        format!("models: {{ minilm: {{ endpoint: \"grpc://{minilm}\" }} }}\n{pipelines}"),
    );
    let running = in_process::start(motet::process::Role::Gateway, Some(file)).await;
    let connection = Connection::open(running.grpc).await;
    (running, connection)
}

/// A pipeline of one call.
const VECTORS: &str = "pipelines:
  - pipeline: vectors
    inputs: { text: \"string[N]\" }
    nodes: { v: { model: minilm, in: { text: $text } } }
    outputs: { vector: $v.embedding }
";

async fn vectors(connection: &Connection) -> Service {
    let vectors = Service::learn(connection, "motet.pipeline.Vectors").await;
    vectors.expect("the pipeline")
}

async fn count(running: &Running, metric: &str) -> f64 {
    let http = running.http.expect("HTTP was asked for");
    let metrics = Metrics::read(http).await;
    metrics.count(metric, &[("model", "minilm")])
}

/// Two nodes of `rag` call the same model at about the same time.
#[tokio::test]
async fn the_built_in_rag_recovers_when_its_model_service_returns() {
    let shared = in_process::shared().grpc;
    let (service, service_at) = serve(&["minilm"], in_process::ANY_PORT).await;
    let proxy = TcpProxy::start(service_at, DELAY).await;
    let mut gateway = motet(["gateway"])
        .args(endpoint("chunker", shared))
        .args(endpoint("minilm", proxy.address))
        .args(endpoint("reranker", shared))
        .on_free_ports()
        .start();
    let Ready { grpc, http } = gateway.ready().await;
    let rag = rag(&Connection::open(grpc).await).await;
    let (question, _) = QUESTIONS[0];
    let ask = async || {
        let asked = json!({"query": question, "documents": PASSAGES});
        rag.call("Run", asked).await
    };
    ask().await.expect("an answer");
    service.kill().await;
    let refused = Cell::new(0);
    until("an open circuit, for some time", async || {
        let error = ask().await.expect_err("nobody embeds");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        if status::read(&error).reason == "CIRCUIT_OPEN" {
            refused.set(refused.get() + 1);
        }
        (refused.get() > 100).then_some(())
    })
    .await;
    let (_service, _) = serve(&["minilm"], service_at).await;
    let answer = until("an answer again", async || ask().await.ok()).await;
    check_results(&answer, &PASSAGES, 5);
    for _ in 0..20 {
        ask().await.expect("it stays so");
    }
    let metrics = Metrics::read(http.expect("HTTP is on")).await;
    let minilm = [("model", "minilm")];
    assert_eq!(metrics.value("motet_circuit_open", &minilm), Some(0.0));
}

/// Pipelines that can do without the answers of `reranker`, in every way that there is. Each has an
/// op after it.
const DEGRADING: &str = "pipelines:
  - pipeline: substituted
    inputs: { query: string, text: \"string[N]\", zero: \"float[N]\" }
    nodes:
      r: { model: reranker, in: { query: $query, text: $text }, on_error: { use: { score: $zero } } }
      best: { op: topk, in: { score: $r.score }, with: { k: 1 } }
    outputs: { score: $best.score }
  - pipeline: fallen_back
    inputs: { query: string, text: \"string[N]\", zero: \"float[N]\" }
    nodes:
      r:
        fallback:
          - { model: reranker, in: { query: $query, text: $text } }
          - { value: { score: $zero } }
      best: { op: topk, in: { score: $r.score }, with: { k: 1 } }
    outputs: { score: $best.score }
  - pipeline: met
    inputs: { query: string, text: \"string[N]\", zero: \"float[N]\" }
    nodes:
      r:
        ensemble:
          of:
            - { model: reranker, in: { query: $query, text: $text } }
            - { value: { score: $zero } }
          combine: max
          quorum: 1
      best: { op: topk, in: { score: $r.score }, with: { k: 1 } }
    outputs: { score: $best.score }
  - pipeline: dropped
    inputs: { query: string, text: \"string[N]\", zero: \"float[N]\" }
    nodes:
      r:
        map:
          over: $text
          on_item_error: drop
          do: { model: reranker, in: { query: $query, text: $item } }
      best: { op: topk, in: { score: $r.score }, with: { k: 1 } }
    outputs: { score: $best.score }
";

#[tokio::test]
async fn degraded_answers_are_in_time_while_a_service_hangs() {
    let (service, service_at) = serve(&["reranker"], in_process::ANY_PORT).await;
    let folder = TempDir::new();
    let file = folder.file(
        "motet.yaml",
        format!("models: {{ reranker: {{ endpoint: \"grpc://{service_at}\" }} }}\n{DEGRADING}"),
    );
    let running = in_process::start(motet::process::Role::Gateway, Some(file)).await;
    let connection = Connection::open(running.grpc).await;
    let names = ["Substituted", "FallenBack", "Met", "Dropped"];
    let learnt = names.map(|name| {
        let connection = connection.clone();
        async move { Service::learn(&connection, &format!("motet.pipeline.{name}")).await }
    });
    let services: Vec<Service> = join_all(learnt)
        .await
        .into_iter()
        .map(|service| service.expect("the pipeline"))
        .collect();
    let ask = async |service: &Service| -> Result<Value, Status> {
        let asked = json!({"query": "tides", "text": PASSAGES, "zero": [0, 0, 0, 0, 0, 0]});
        let mut request = Request::new(service.message("Run", &asked));
        let timeout = "3S".parse().expect("ascii");
        request.metadata_mut().insert("grpc-timeout", timeout);
        Ok(service.request("Run", request).await?.into_inner())
    };
    // The score of an answer for which the model was asked is not that of a substitute.
    let is_whole = |answer: &Value| answer["score"][0].as_f64().is_some_and(|score| score > 0.1);
    // The first call of each, and all that come while the circuit learns, and after.
    service.signal("STOP");
    for _ in 0..3 {
        let calls = services
            .iter()
            .flat_map(|service| (0..4).map(|_| ask(service)));
        for (at, answer) in join_all(calls).await.into_iter().enumerate() {
            let answer = answer.unwrap_or_else(|e| panic!("{}: {e}", names[at / 4]));
            assert!(!is_whole(&answer), "{answer}");
        }
    }
    service.signal("CONT");
    for service in &services {
        until("a whole answer again", async || {
            let answer = ask(service).await.expect("an answer");
            is_whole(&answer).then_some(())
        })
        .await;
    }
}

/// Starts a server that is not motet, with a model `callee`.
async fn callee(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> OtherServer {
    let files = compile(&repository().join("proto/proto/inference/inference.proto"));
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let metadata = json!({
        "name": "minilm",
        "versions": ["1"],
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, 1]}],
    });
    let answer = move |call: &motet_tests::other_server::Call| match call.method.as_str() {
        "ModelMetadata" => Reply::Messages(vec![metadata.clone()]),
        "ModelReady" => Reply::Messages(vec![json!({"ready": true})]),
        _ => answer(calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst)),
    };
    OtherServer::start(in_process::ANY_PORT, &files, Reflection::V1, answer).await
}

#[tokio::test]
async fn a_service_that_answers_unavailable_is_reached() {
    let server = callee(|n| {
        Reply::Error(
            Vec::new(),
            Status::unavailable(format!("no room, for the {n}th time")),
        )
    })
    .await;
    let (running, connection) = gateway(server.address, VECTORS).await;
    let vectors = vectors(&connection).await;
    for n in 0..20 {
        let error = vectors.call("Run", json!({"text": ["a"]})).await;
        let error = error.expect_err("it says so");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        let message = format!("node v: no room, for the {n}th time");
        assert_eq!(error.message(), message);
    }
    assert_eq!(count(&running, "motet_circuit_openings_total").await, 0.0);
}

#[tokio::test]
async fn a_connection_that_is_reset_loses_no_call() {
    let proxy = TcpProxy::start(in_process::shared().grpc, DELAY).await;
    let (running, connection) = gateway(proxy.address, VECTORS).await;
    let vectors = vectors(&connection).await;
    for _ in 0..5 {
        let calls = (0..16).map(async |_| {
            for _ in 0..4 {
                let answer = vectors.call("Run", json!({"text": PASSAGES})).await;
                answer.expect("it is made again");
            }
        });
        let reset = async {
            tokio::time::sleep(5 * DELAY).await;
            proxy.reset();
        };
        tokio::join!(join_all(calls), reset);
    }
    assert!(count(&running, "motet_calls_resent_total").await >= 1.0);
    assert_eq!(count(&running, "motet_circuit_openings_total").await, 0.0);
    assert_eq!(count(&running, "motet_circuit_refused_total").await, 0.0);
}

#[tokio::test]
async fn an_answer_that_was_damaged_is_unavailable() {
    let proxy = TcpProxy::start(in_process::shared().grpc, DELAY).await;
    let (_running, connection) = gateway(proxy.address, VECTORS).await;
    let vectors = vectors(&connection).await;
    for _ in 0..3 {
        // The damaged answer may be the answer to the gateway's own question for readiness.
        let error = until("a damaged answer", async || {
            proxy.damage_next();
            vectors.call("Run", json!({"text": ["tides"]})).await.err()
        })
        .await;
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert_eq!(
            error.message(),
            "node v: model minilm gave an answer that cannot be read"
        );
        assert_eq!(status::read(&error).metadata["model"], "minilm");
    }
}

#[tokio::test]
async fn a_gateway_starts_without_a_model_that_it_can_do_without() {
    let (service, service_at) = serve(&["reranker"], in_process::ANY_PORT).await;
    let folder = TempDir::new();
    let file = folder.file(
        "motet.yaml",
        format!("models: {{ reranker: {{ endpoint: \"grpc://{service_at}\" }} }}\n{DEGRADING}"),
    );
    let locked = motet(["check", "--lock"]).args([&file]).run().await;
    assert_eq!(locked.code, Some(0), "{}", locked.stderr);
    service.kill().await;
    let mut gateway = motet(["gateway", "-f"])
        .args([&file])
        .on_free_ports()
        .start();
    let Ready { grpc, http } = gateway.ready().await;
    let http = http.expect("HTTP is on");
    let page = get(http, "/readyz").await.expect("a page");
    assert_eq!(
        page,
        (200, "ready, degraded without:\nreranker\n".to_owned())
    );
    let ready = ("motet_model_ready", [("model", "reranker")]);
    assert_eq!(
        Metrics::read(http).await.value(ready.0, &ready.1),
        Some(0.0)
    );
    let connection = Connection::open(grpc).await;
    let name = "motet.pipeline.Substituted";
    let pipeline = Service::learn(&connection, name)
        .await
        .expect("it is served");
    let ask = async || {
        let asked = json!({"query": "tides", "text": PASSAGES, "zero": [0, 0, 0, 0, 0, 0]});
        pipeline.answer("Run", asked).await["score"][0].as_f64()
    };
    assert_eq!(ask().await.unwrap_or_default(), 0.0);
    let (_service, _) = serve(&["reranker"], service_at).await;
    until("the model is used", async || {
        ask().await.filter(|score| *score > 0.1)
    })
    .await;
    until("all is ready", async || {
        let page = get(http, "/readyz").await?;
        (page == (200, "ready\n".to_owned())).then_some(())
    })
    .await;
}
