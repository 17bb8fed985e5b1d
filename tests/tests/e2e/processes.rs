//! A gateway and its model services in separate processes.

use std::net::{SocketAddr, TcpListener};

use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::http::get;
use motet_tests::program::Process;
use motet_tests::proxy::Proxy;
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, raw, texts};
use motet_tests::wait::{soon, until};
use motet_tests::{in_process, repository};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::motet;
use crate::rag::{PASSAGES, QUESTIONS, check_results, rag};

/// Returns the `--endpoint` flag of a model.
pub(crate) fn endpoint(model: &str, address: SocketAddr) -> [String; 2] {
    ["--endpoint".to_owned(), format!("{model}=grpc://{address}")]
}

/// Starts a model service on this address.
pub(crate) async fn serve(models: &[&str], port: SocketAddr) -> (Process, SocketAddr) {
    let port = port.to_string();
    let mut args = vec!["serve", "--http", "off", "--grpc", &port];
    args.extend(models.iter().flat_map(|model| ["--model", model]));
    let mut process = motet(args).start();
    let address = process.ready().await.grpc;
    (process, address)
}

/// Returns a port that was free a moment ago.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(in_process::ANY_PORT).expect("a free port");
    listener.local_addr().expect("bound")
}

/// Returns the answer to a question, with the names of degraded nodes.
async fn ask(rag: &Service, question: &str) -> Result<(Value, String), Status> {
    let message = rag.message("Run", &json!({"query": question, "documents": PASSAGES}));
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("motet-receipt", "1".parse().expect("ascii"));
    let answer = rag.request("Run", request).await?;
    let degraded = answer.metadata().get("motet-degraded");
    let degraded = degraded
        .map_or("", |nodes| nodes.to_str().expect("ascii"))
        .to_owned();
    Ok((answer.into_inner(), degraded))
}

fn scores(answer: &Value) -> Vec<f32> {
    let results = answer["results"].as_array().expect("results");
    results
        .iter()
        .map(|r| r["score"].as_f64().expect("a score") as f32)
        .collect()
}

/// Two model services answer as one process does. Requests fail while one is down, and succeed
/// after it has returned.
#[tokio::test]
async fn separate_services_answer_as_one_process_and_may_restart() {
    let ((encoder, encoder_at), (_reranker, reranker_at)) = tokio::join!(
        serve(&["chunker", "minilm"], in_process::ANY_PORT),
        serve(&["reranker"], in_process::ANY_PORT),
    );
    let mut gateway = motet(["gateway"])
        .args(endpoint("chunker", encoder_at))
        .args(endpoint("minilm", encoder_at))
        .args(endpoint("reranker", reranker_at))
        .on_free_ports()
        .start();
    let connection = gateway.connect().await;
    let (apart, together) = (
        rag(&connection).await,
        rag(&in_process::connect().await).await,
    );
    for (question, _) in QUESTIONS {
        let (here, degraded) = ask(&apart, question).await.expect("an answer");
        let (there, _) = ask(&together, question).await.expect("an answer");
        assert_eq!(degraded, "");
        check_results(&here, &PASSAGES, 5);
        assert!(
            max_difference(&scores(&here), &scores(&there)) < 1e-5,
            "{question}"
        );
        let indices = |answer: &Value| -> Vec<Value> {
            answer["results"]
                .as_array()
                .expect("results")
                .iter()
                .map(|r| r["index"].clone())
                .collect()
        };
        assert_eq!(indices(&here), indices(&there), "{question}");
    }
    let text = || raw("minilm", &[("text", texts(&PASSAGES))]);
    let through = connection
        .inference()
        .model_infer(text())
        .await
        .expect("an answer");
    let direct = Connection::open(encoder_at)
        .await
        .inference()
        .model_infer(text())
        .await;
    let (through, direct) = (
        through.into_inner(),
        direct.expect("an answer").into_inner(),
    );
    let difference = max_difference(
        &floats(&through, "embedding"),
        &floats(&direct, "embedding"),
    );
    assert!(difference < 1e-5, "{difference}");

    // Every answer needs this service.
    encoder.kill().await;
    let error = ask(&apart, "tides").await.expect_err("nobody embeds");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let info = status::read(&error).metadata;
    assert_eq!(info["pipeline"], "rag");
    // The first of the nodes that failed.
    let (node, model) = (&*info["node"], &*info["model"]);
    assert!(
        matches!((node, model), ("chunks", "chunker") | ("q" | "d", "minilm")),
        "{info:?}"
    );
    for part in [node, model] {
        assert!(error.message().contains(part), "{part} in {error}");
    }
    // Callers do not learn where models are.
    let at = encoder_at.to_string();
    assert!(!error.message().contains(&at), "{error}");
    let ready = motet_proto::inference::ModelReadyRequest {
        name: "rag".to_owned(),
        ..Default::default()
    };
    let answer = connection
        .inference()
        .model_ready(ready)
        .await
        .expect("an answer");
    assert!(!answer.into_inner().ready);

    // It returns at the same address.
    let (_encoder, _) = serve(&["chunker", "minilm"], encoder_at).await;
    let (answer, degraded) = until("an answer again", async || {
        ask(&apart, QUESTIONS[0].0).await.ok()
    })
    .await;
    assert_eq!(
        (&answer["results"][0]["index"], &*degraded),
        (&json!(QUESTIONS[0].1), "")
    );
}

#[tokio::test]
async fn a_call_whose_connections_break_is_unavailable() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let endpoints = ["chunker", "minilm", "reranker"].map(|model| endpoint(model, proxy.address));
    let mut gateway = motet(["gateway"])
        .args(endpoints.as_flattened())
        .on_free_ports()
        .start();
    let connection = gateway.connect().await;
    let rag = rag(&connection).await;
    proxy.close();
    let call = tokio::spawn({
        let rag = rag.clone();
        async move { ask(&rag, "tides").await }
    });
    proxy.holds(2).await;
    // Both calls are made again, and are lost each time.
    until("the end of the call", async || {
        proxy.hang_up();
        call.is_finished().then_some(())
    })
    .await;
    let error = soon("an answer", call).await.expect("it ran");
    let error = error.expect_err("nobody answers");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let details = status::read(&error);
    assert_eq!(details.metadata["pipeline"], "rag");
    assert!(details.metadata.contains_key("node"), "{error}");
    let at = proxy.address.to_string();
    assert!(!error.message().contains(&at), "{error}");
    proxy.open();
    until("an answer again", async || ask(&rag, "tides").await.ok()).await;
}

#[tokio::test]
async fn a_dead_reranker_degrades_the_answer() {
    let ((_models, models_at), (reranker, reranker_at)) = tokio::join!(
        serve(&["chunker", "minilm"], in_process::ANY_PORT),
        serve(&["reranker"], in_process::ANY_PORT),
    );
    // The endpoints are in the file.
    let folder = TempDir::new();
    let built_in = std::fs::read_to_string(repository().join("services/cli/src/builtin.yaml"));
    let (_, pipelines) = built_in
        .as_deref()
        .expect("the file")
        .split_once("\npipelines:")
        .expect("pipelines");
    let file = folder.file(
        "motet.yaml",
        format!(
            "server: {{ grpc: \"127.0.0.1:0\", http: off }}\nmodels:\n  chunker: {{ \
             endpoint: \"grpc://{models_at}\" }}\n  \
             minilm: {{ endpoint: \"grpc://{models_at}\" }}\n  reranker: {{ \
             endpoint: \"grpc://{reranker_at}\" }}\n\
             pipelines:{pipelines}"
        ),
    );
    let mut gateway = motet(["gateway", "-f"]).args([&file]).start();
    let address = gateway.ready().await.grpc;
    let rag = rag(&Connection::open(address).await).await;
    let call = async |args: &[&str]| {
        let documents = format!("documents={}", json!(PASSAGES));
        let query = format!("query={}", QUESTIONS[0].0);
        let address = address.to_string();
        let program = motet([
            "call",
            "rag",
            "-a",
            &address,
            &query,
            &documents,
            "--deadline",
            "30s",
        ]);
        let ended = program.args(args).run().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        (ended.stdout, ended.stderr)
    };
    assert_eq!(call(&[]).await.1, "");
    let (question, passage) = QUESTIONS[0];
    let (best, degraded) = ask(&rag, question).await.expect("an answer");
    assert_eq!(
        (&best["results"][0]["index"], &*degraded),
        (&json!(passage), "")
    );
    reranker.kill().await;
    let (second_best, degraded) = ask(&rag, question).await.expect("an answer all the same");
    assert_eq!(degraded, "rank");
    check_results(&second_best, &PASSAGES, 5);
    assert_eq!(second_best["results"][0]["index"], passage, "by cosine");
    assert_ne!(scores(&best), scores(&second_best));
    let nodes = second_best["receipt"]["nodes"]
        .as_array()
        .expect("a receipt");
    for node in nodes {
        let why = node
            .get("degraded")
            .and_then(Value::as_str)
            .unwrap_or_default();
        assert_eq!(why.contains("reranker"), node["node"] == "rank", "{node}");
    }
    let line = "degraded: the result of node rank is a substitute or incomplete";
    for (args, end) in [
        (&[][..], "; --receipt shows why"),
        (&["--json"], "; --receipt shows why"),
        (&["--receipt"], ""),
    ] {
        let (stdout, stderr) = call(args).await;
        assert_eq!(stderr, format!("{line}{end}\n"));
        assert!(
            !stdout.contains(line) && stdout.contains(PASSAGES[passage]),
            "{stdout}"
        );
    }
    let (_reranker, _) = serve(&["reranker"], reranker_at).await;
    until("the reranker again", async || {
        let (_, degraded) = ask(&rag, question).await.expect("an answer");
        degraded.is_empty().then_some(())
    })
    .await;
}

/// While it waits for its services, the process is live but not ready.
#[tokio::test]
async fn a_gateway_may_start_before_its_services() {
    let (models_at, http) = (free_port(), free_port());
    let endpoints = ["chunker", "minilm", "reranker"].map(|model| endpoint(model, models_at));
    let mut gateway = motet([
        "gateway",
        "--grpc",
        "127.0.0.1:0",
        "--http",
        &http.to_string(),
    ])
    .args(endpoints.as_flattened())
    .start();
    gateway.says("waiting: model chunker").await;
    let (status, page) = get(http, "/readyz")
        .await
        .expect("it answers while it waits");
    assert_eq!(status, 503);
    assert!(
        page.starts_with("not ready:\n") && page.contains("server"),
        "{page}"
    );
    assert_eq!(get(http, "/healthz").await.expect("it lives").0, 200);
    let (_models, _) = serve(&["chunker", "minilm", "reranker"], models_at).await;
    let rag = rag(&gateway.connect().await).await;
    ask(&rag, "tides").await.expect("an answer");
    assert_eq!(get(http, "/readyz").await.expect("it answers").0, 200);
}

#[tokio::test]
async fn a_gateway_waits_for_its_services_for_a_limited_time() {
    let at = free_port();
    let endpoints = ["chunker", "minilm", "reranker"].map(|model| endpoint(model, at));
    let ended = motet(["gateway", "--wait", "600ms"])
        .args(endpoints.as_flattened())
        .on_free_ports()
        .run()
        .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: ") && last.contains(&at.to_string()),
        "{}",
        ended.stderr
    );
}
