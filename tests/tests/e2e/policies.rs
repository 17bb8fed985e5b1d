//! Retries, hedges and circuit breakers between a gateway and its model services.

use std::net::SocketAddr;

use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::http::Metrics;
use motet_tests::in_process;
use motet_tests::proxy::{Fate, Proxy};
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::until;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::processes::serve;

/// A gateway with one pipeline, `called`, that calls an embedding model in another process.
struct Gateway {
    running: motet::process::Running,
    called: Service,
    _folder: TempDir,
}

impl Gateway {
    async fn start(model_at: SocketAddr, policies: &str) -> Self {
        let folder = TempDir::new();
        let file = folder.file(
            "motet.yaml",
            format!(
                "models: {{ minilm: {{ endpoint: \"grpc://{model_at}\" }} }}\n\
                 pipelines:\n  - pipeline: called\n    inputs: {{ text: \"string[N]\" }}\n    \
                 nodes: {{ v: {{ model: minilm, in: {{ text: $text }}, {policies} }} }}\n    \
                 outputs: {{ vector: $v.embedding }}\n"
            ),
        );
        let running = in_process::start(motet::process::Role::Gateway, Some(file)).await;
        let connection = Connection::open(running.grpc).await;
        let called = Service::learn(&connection, "motet.pipeline.Called").await;
        Self {
            running,
            called: called.expect("the pipeline"),
            _folder: folder,
        }
    }

    /// Calls the pipeline and returns the node's entry in the receipt.
    async fn ask(&self, text: &str) -> Result<Value, Status> {
        self.ask_within("30S", &[text]).await
    }

    /// Returns the same for several texts, with a `grpc-timeout`.
    async fn ask_within(&self, timeout: &str, texts: &[&str]) -> Result<Value, Status> {
        let message = self.called.message("Run", &json!({"text": texts}));
        let mut request = Request::new(message);
        let timeout = timeout.parse().expect("ascii");
        request.metadata_mut().insert("grpc-timeout", timeout);
        let receipt = "1".parse().expect("ascii");
        request.metadata_mut().insert("motet-receipt", receipt);
        let answer = self.called.request("Run", request).await?.into_inner();
        let width = answer["vector"][0]["values"].as_array().map(Vec::len);
        assert_eq!(width, Some(384), "{answer}");
        Ok(answer["receipt"]["nodes"][0].clone())
    }

    async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let http = self.running.http.expect("HTTP was asked for");
        Metrics::read(http).await.value(name, labels)
    }
}

const NODE: [(&str, &str); 2] = [("pipeline", "called"), ("node", "v")];

#[tokio::test]
async fn retries_stop_at_their_budget() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let gateway = Gateway::start(proxy.address, "retry: { max: 1, backoff: 1ms }").await;
    // The first call fails and its retry succeeds: the circuit stays closed.
    let mut answered = 0;
    let error = loop {
        proxy.destine([Fate::Fail, Fate::Pass]);
        match gateway.ask("tides").await {
            Ok(node) => assert_eq!(node["retries"], 1),
            Err(error) => break error,
        }
        answered += 1;
        assert!(answered < 1000, "a budget ends");
    };
    assert!(answered >= 10, "{answered}");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert_eq!(proxy.inferences().len(), 2 * answered + 1);
    let retries = gateway.metric("motet_node_retries_total", &NODE).await;
    assert_eq!(retries, Some(answered as f64));
    let [pipeline, node] = NODE;
    let labels = [pipeline, node, ("reason", "budget")];
    let refused = gateway.metric("motet_node_retries_refused_total", &labels);
    assert_eq!(refused.await, Some(1.0));
}

#[tokio::test]
async fn the_loser_of_a_hedge_is_cancelled() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let gateway = Gateway::start(proxy.address, "hedge: { after: 20ms }").await;
    proxy.destine([Fate::Hold]);
    let node = gateway.ask("tides").await.expect("the second call answers");
    assert_eq!(
        (&node["hedges"], &node["hedge_won"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(proxy.inferences().len(), 2);
    // The proxy held the first call until its caller went away.
    proxy.holds(0).await;
    let won = gateway.metric("motet_node_hedges_won_total", &NODE).await;
    assert_eq!(won, Some(1.0));
}

#[tokio::test]
async fn the_circuit_of_a_killed_service_opens_and_closes_when_it_returns() {
    let (service, at) = serve(&["minilm"], in_process::ANY_PORT).await;
    let gateway = Gateway::start(at, "deadline: 5s").await;
    gateway.ask("tides").await.expect("an answer");
    service.kill().await;
    let error = until("an open circuit", async || {
        let error = gateway.ask("tides").await.expect_err("nobody answers");
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        (status::read(&error).reason == "CIRCUIT_OPEN").then_some(error)
    })
    .await;
    let details = status::read(&error);
    assert!(details.retry_after.is_some());
    assert_eq!(details.metadata["model"], "minilm");
    assert!(!error.message().contains(&at.to_string()), "{error}");
    let minilm = [("model", "minilm")];
    assert_eq!(
        gateway.metric("motet_circuit_open", &minilm).await,
        Some(1.0)
    );

    let (_service, _) = serve(&["minilm"], at).await;
    until("an answer again", async || gateway.ask("tides").await.ok()).await;
    assert_eq!(
        gateway.metric("motet_circuit_open", &minilm).await,
        Some(0.0)
    );
    let refused = gateway.metric("motet_circuit_refused_total", &minilm).await;
    assert!(refused >= Some(1.0));
}

#[tokio::test]
async fn a_cached_answer_needs_no_service() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let gateway = Gateway::start(proxy.address, "cache: { ttl: 1h }").await;
    let node = gateway.ask("tides").await.expect("an answer");
    assert_eq!(
        (&node["rows"], &node["cache_hits"]),
        (&json!(1), &Value::Null)
    );
    proxy.destine([Fate::Fail]);
    let node = gateway.ask("tides").await.expect("the answer that is kept");
    assert_eq!(
        (&node["rows"], &node["cache_hits"]),
        (&Value::Null, &json!(1))
    );
    assert_eq!(proxy.inferences().len(), 1);
    gateway.ask("bread").await.expect_err("nobody answers");
    for (result, rows) in [("hit", 1.0), ("miss", 1.0)] {
        let labels = [("model", "minilm"), ("result", result)];
        let metric = gateway.metric("motet_cache_rows_total", &labels).await;
        assert_eq!(metric, Some(rows), "{result}");
    }
}

#[tokio::test]
async fn a_call_that_cannot_meet_its_deadline_is_refused_at_once() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let gateway = Gateway::start(proxy.address, "deadline: 100%").await;
    let long = "the moon pulls the sea towards it ".repeat(60);
    let texts = [&*long; 16];
    for _ in 0..8 {
        let asked = gateway.ask_within("30S", &texts).await;
        asked.expect("there is time");
    }
    until("a refusal", async || {
        let before = proxy.inferences().len();
        let error = gateway.ask_within("2m", &texts).await;
        let error = error.expect_err("there is no time");
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
        let refused = status::read(&error).reason == "TOO_LITTLE_TIME";
        assert!(!refused || proxy.inferences().len() == before, "{error}");
        refused.then_some(())
    })
    .await;
    let pipeline = [("pipeline", "called")];
    let refused = gateway
        .metric("motet_budget_refused_total", &pipeline)
        .await;
    assert!(refused >= Some(1.0));
    // A call with less work is not.
    gateway.ask("tides").await.expect("an answer");
}
