//! The configurations in `deploy/examples`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use motet::process::{Role, Running};
use motet_tests::connection::Connection;
use motet_tests::in_process;
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tonic::Request;

use crate::motet;
use crate::rag::{PASSAGES, QUESTIONS};

/// Returns a process with all examples, shared by the tests.
fn examples() -> &'static Running {
    static EXAMPLES: OnceLock<(Running, Runtime)> = OnceLock::new();
    let (running, _) = EXAMPLES.get_or_init(|| {
        // On a thread of its own: one runtime must not block inside another.
        let started = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/motet.yaml");
            (
                runtime.block_on(in_process::start(Role::Up, Some(file))),
                runtime,
            )
        });
        started.join().expect("the examples start")
    });
    running
}

async fn pipeline(name: &str) -> Service {
    let connection = Connection::open(examples().grpc).await;
    let service = Service::learn(&connection, &format!("motet.pipeline.{name}")).await;
    service.expect("the pipeline is served")
}

fn best(answer: &Value) -> usize {
    answer["results"][0]["index"].as_u64().expect("an index") as usize
}

#[tokio::test]
async fn every_kind_of_retrieval_finds_the_answer() {
    for name in ["Rag", "Hybrid", "Careful"] {
        let service = pipeline(name).await;
        for (query, expected) in &QUESTIONS[..3] {
            let answer = service
                .answer("Run", json!({"query": query, "documents": PASSAGES}))
                .await;
            assert_eq!(best(&answer), *expected, "{name}: {query}: {answer}");
        }
    }
}

#[tokio::test]
async fn nothing_is_scored_without_a_query() {
    let service = pipeline("Careful").await;
    let answer = service.answer("Run", json!({"documents": PASSAGES})).await;
    assert_eq!(answer, json!({}));
}

#[tokio::test]
async fn an_ensemble_averages_the_scores_of_each_document() {
    let (query, expected) = QUESTIONS[0];
    let service = pipeline("Opinions").await;
    let answer = service
        .answer("Run", json!({"query": query, "documents": PASSAGES}))
        .await;
    let scores: Vec<f64> = answer["score"]
        .as_array()
        .expect("scores")
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    assert_eq!(scores.len(), PASSAGES.len());
    assert!(scores.iter().all(|s| *s <= scores[expected]), "{scores:?}");
}

#[tokio::test]
async fn a_user_gets_one_arm_and_the_receipt_names_it() {
    let service = pipeline("Canary").await;
    let mut arms = Vec::new();
    for _ in 0..3 {
        let message = service.message("Run", &json!({"text": ["hello"], "user": "ann"}));
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("motet-receipt", "1".parse().expect("a value"));
        let answer = service.request("Run", request).await.expect("an answer");
        let answer = answer.into_inner();
        let nodes = &answer["receipt"]["nodes"];
        assert_eq!(nodes[1]["node"], nodes[0]["arm"], "{answer}");
        arms.push(nodes[0]["arm"].clone());
    }
    assert!(
        arms.iter().all(|a| *a == arms[0] && a.is_string()),
        "{arms:?}"
    );
}

#[tokio::test]
async fn a_map_runs_once_for_each_document() {
    let long = PASSAGES.join(" ");
    let documents = [long.as_str(), PASSAGES[1], PASSAGES[2]];
    let service = pipeline("Each").await;
    let answer = service
        .answer(
            "Run",
            json!({"query": QUESTIONS[0].0, "documents": documents}),
        )
        .await;
    let found = answer["documents"].as_array().expect("documents");
    assert_eq!(found.len(), 3, "{answer}");
    let number = |i: usize, key: &str| -> f64 {
        let value = &found[i][key];
        let text = value.as_str().and_then(|s| s.parse().ok());
        value.as_f64().or(text).unwrap_or(0.0)
    };
    assert!(number(0, "passages") > number(2, "passages"), "{answer}");
    assert!(number(1, "score") > number(2, "score"), "{answer}");
    let none = service
        .answer("Run", json!({"query": "x", "documents": []}))
        .await;
    assert_eq!(none, json!({}));
}

#[tokio::test]
async fn a_called_pipeline_computes_only_the_outputs_that_are_needed() {
    let service = pipeline("Digest").await;
    let request = json!({"query": QUESTIONS[1].0, "documents": PASSAGES});
    let answer = service.answer("Run", request.clone()).await;
    assert_eq!(
        answer["lines"].as_array().map(Vec::len),
        Some(3),
        "{answer}"
    );
    assert_eq!(answer["note"], format!("3 passages on: {}", QUESTIONS[1].0));

    let mut request = Request::new(service.message("Run", &request));
    let metadata = request.metadata_mut();
    metadata.insert("motet-fields", "note".parse().expect("a value"));
    let some = service.request("Run", request).await.expect("an answer");
    let some = some.into_inner();
    assert_eq!(some, json!({"note": answer["note"]}));
}

/// The example with models of a hub, with small models in their place.
#[tokio::test]
async fn heads_score_route_and_find_names() {
    let folder = TempDir::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = std::fs::read_to_string(root.join("deploy/examples/heads/motet.yaml"));
    let mut example = example.expect("the example");
    for (given, fixture) in [
        ("hf:cross-encoder/ms-marco-MiniLM-L6-v2", "bert-reranker"),
        (
            "hf:distilbert/distilbert-base-uncased-finetuned-sst-2-english",
            "modernbert-mean",
        ),
        ("hf:cross-encoder/nli-deberta-v3-small", "deberta-nli"),
        ("hf:dslim/bert-base-NER", "bert-tokens"),
    ] {
        let source = root.join("tests/classifiers").join(fixture);
        assert!(example.contains(given), "{given}");
        example = example.replace(given, &format!("file:{}", source.display()));
    }
    example = example.replace("NEGATIVE", "bad");
    let file = folder.file("motet.yaml", example);
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    let learn = async |name: &str| {
        let service = Service::learn(&connection, &format!("motet.pipeline.{name}")).await;
        service.expect("the pipeline is served")
    };
    let answer = learn("Precise")
        .await
        .answer(
            "Run",
            json!({"query": "tides", "documents": PASSAGES, "top_n": 2}),
        )
        .await;
    let results = answer["results"].as_array().expect("results");
    let score = |result: &Value| result["score"].as_f64().expect("a score");
    assert_eq!(results.len(), 2);
    assert!(score(&results[0]) >= score(&results[1]), "{answer}");

    let route = learn("Route").await;
    let mut labels = BTreeSet::new();
    for message in [
        "wing",
        "The river, and a letter.",
        "zebra!",
        "naïve Zürich façade",
    ] {
        let answer = route.answer("Run", json!({"message": message})).await;
        let label = answer["label"].as_str().expect("a label");
        let reply = answer["reply"].as_str().expect("a reply");
        assert_eq!(
            reply.starts_with("To a person: "),
            label == "bad",
            "{answer}"
        );
        assert!(reply.contains(message), "{answer}");
        labels.insert(label.to_owned());
    }
    assert!(labels.contains("bad") && labels.len() > 1, "{labels:?}");

    let triage = learn("Triage").await;
    let mut replies = BTreeSet::new();
    // The topics of the example are longer than a row of the small model.
    for (message, topics) in [
        ("wing", ["a letter", "wing"]),
        ("The river, and a letter.", ["river", "an invoice"]),
        ("zebra!", ["wing", "wing"]),
        ("naïve Zürich façade", ["an invoice", "letter"]),
        ("letter wing", ["an invoice", "zebra"]),
    ] {
        let request = json!({"message": message, "topics": topics, "sure": 0.51});
        let answer = triage.answer("Run", request).await;
        let (topic, score) = (answer["topic"].as_str(), answer["score"].as_f64());
        let (topic, score) = (topic.expect("a topic"), score.expect("a score"));
        let expected = match topic {
            _ if score < 0.51 => format!("To a person: {message}"),
            "an invoice" => format!("To accounting: {message}"),
            topic => format!("To support, about {topic}: {message}"),
        };
        assert_eq!(answer["reply"], expected.as_str(), "{answer}");
        replies.insert(expected.split(':').next().map(|to| to[..9].to_owned()));
    }
    assert!(replies.len() > 1, "{replies:?}");

    let text = "Zoë lives in Malmö.";
    let answer = learn("Names")
        .await
        .answer("Run", json!({"text": text}))
        .await;
    let entities = answer["entities"].as_array().expect("entities");
    assert!(!entities.is_empty());
    for entity in entities {
        let place = |key: &str| entity[key].as_u64().unwrap_or(0);
        let (start, end) = (place("start"), place("end"));
        assert!(
            start < end && end <= text.chars().count() as u64,
            "{entity}"
        );
        let label = entity["label"].as_str().expect("a label");
        let line = format!("characters {start} to {end}: {label}");
        assert_eq!(entity["line"], line.as_str());
    }
}

/// The example with a model of three tasks, with a small model in its place.
#[tokio::test]
async fn three_kinds_of_vectors_of_one_pass_are_fused() {
    let folder = TempDir::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = std::fs::read_to_string(root.join("deploy/examples/fused/motet.yaml"));
    let example = example.expect("the example");
    assert!(example.contains("file:models/m3"));
    let source = format!("file:{}", root.join("tests/bge_m3/published").display());
    let file = folder.file("motet.yaml", example.replace("file:models/m3", &source));
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    let fused = Service::learn(&connection, "motet.pipeline.Fused").await;
    let fused = fused.expect("the pipeline is served");
    let documents = [
        "The river, and a letter.",
        "wing",
        "The tide follows the moon.",
        "",
    ];
    let request = json!({"query": "A wing, and a letter.", "documents": documents, "top_n": 4});
    let answer = fused.answer("Run", request).await;
    let results = answer["results"].as_array().expect("results");
    assert_eq!(results.len(), documents.len(), "{answer}");
    let mut before = f64::INFINITY;
    for result in results {
        let number = |key: &str| result[key].as_f64().unwrap_or(0.0);
        let index = result["index"].as_u64().unwrap_or(0) as usize;
        assert_eq!(result["text"].as_str().unwrap_or(""), documents[index]);
        let mean = 0.4 * number("meaning") + 0.2 * number("words") + 0.4 * number("tokens");
        assert!(
            (number("score") - mean).abs() < 1e-4 * mean.abs().max(1.0),
            "{result}"
        );
        assert!(number("score") <= before, "{answer}");
        before = number("score");
        assert!(
            number("words") >= 0.0 && number("tokens").abs() <= 1.001,
            "{result}"
        );
    }
    let of_letters = &results[results
        .iter()
        .position(|r| r["index"].is_null())
        .unwrap_or(0)];
    assert!(of_letters["words"].as_f64() > Some(0.0), "{of_letters}");
}
