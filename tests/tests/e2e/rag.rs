//! The built-in pipeline through its typed service.

use std::collections::BTreeMap;

use motet_tests::connection::Connection;
use motet_tests::in_process;
use motet_tests::reflected::Service;
use motet_tests::wait::soon;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Request;

use crate::motet;

pub(crate) const RAG: &str = "motet.pipeline.Rag";

/// Passages, each of which answers one of [`QUESTIONS`].
pub(crate) const PASSAGES: [&str; 6] = [
    "The share index fell two percent on Tuesday after the central bank raised its rate.",
    "A vaccine shows the immune system a harmless part of a pathogen, \
     so that it makes antibodies and remembers it.",
    "Yeast eats the sugar in dough and gives off carbon dioxide, which makes bread rise.",
    "The moon's gravity pulls the sea towards it, which is why there are two high tides a day.",
    "A boundary layer turns turbulent where small disturbances in the flow grow instead of dying \
     out.",
    "To bleed a radiator, open its valve with a key until water comes instead of air.",
];

/// Questions, each with the index of the passage that answers it.
pub(crate) const QUESTIONS: [(&str, usize); 6] = [
    ("how do vaccines work", 1),
    ("why does bread rise", 2),
    ("what causes tides", 3),
    ("when does laminar flow become turbulent", 4),
    ("my heater is cold at the top", 5),
    ("why did stocks go down", 0),
];

pub(crate) async fn rag(connection: &Connection) -> Service {
    Service::learn(connection, RAG)
        .await
        .expect("the built-in pipeline")
}

/// Asserts `count` results, best first, each with the text of the document that its index names.
pub(crate) fn check_results(answer: &Value, documents: &[&str], top_n: usize) {
    let results = answer["results"].as_array().expect("results");
    assert_eq!(results.len(), top_n.min(documents.len()), "{answer}");
    let scores: Vec<f64> = results
        .iter()
        .map(|r| r["score"].as_f64().expect("a score"))
        .collect();
    assert!(
        scores.windows(2).all(|pair| pair[0] >= pair[1]),
        "best first: {scores:?}"
    );
    for result in results {
        let index = result["index"].as_u64().expect("an index") as usize;
        assert_eq!(
            result["text"], documents[index],
            "short documents are one chunk"
        );
    }
}

#[tokio::test]
async fn the_passage_that_answers_comes_first() {
    let rag = rag(&in_process::connect().await).await;
    for (question, passage) in QUESTIONS {
        let answer = rag.call(
            "Run",
            json!({"query": question, "documents": PASSAGES, "top_n": 3}),
        );
        let answer = answer.await.expect("an answer");
        check_results(&answer, &PASSAGES, 3);
        assert_eq!(answer["results"][0]["index"], passage, "{question}");
        assert!(answer.get("receipt").is_none(), "nobody asked for one");
    }
}

#[tokio::test]
async fn the_default_of_top_n_is_five() {
    let rag = rag(&in_process::connect().await).await;
    for (top_n, expected) in [(None, 5), (Some(1), 1), (Some(6), 6), (Some(100), 6)] {
        let mut request = json!({"query": "tides", "documents": PASSAGES});
        if let Some(top_n) = top_n {
            request["top_n"] = top_n.into();
        }
        let answer = rag.call("Run", request).await.expect("an answer");
        check_results(&answer, &PASSAGES, expected);
    }
}

#[tokio::test]
async fn a_long_document_gives_its_best_passage() {
    let filler = "The committee met again in spring and adjourned without a decision. ".repeat(60);
    let long = format!("{filler}{} {filler}", PASSAGES[3]);
    let rag = rag(&in_process::connect().await).await;
    let request = json!({"query": QUESTIONS[2].0, "documents": [PASSAGES[0], long], "top_n": 1});
    let answer = rag.answer("Run", request).await;
    let best = &answer["results"][0];
    assert_eq!(best["index"], 1);
    let text = best["text"].as_str().expect("text");
    assert!(text.contains("two high tides a day"), "{text}");
    assert!(
        text.len() < long.len() / 4,
        "a part of it: {} bytes",
        text.len()
    );
}

#[tokio::test]
async fn a_receipt_is_sent_on_request() {
    // A process of its own: beside calls of other tests, rows of a call may run in several batches.
    let mut process = motet(["up"]).on_free_ports().start();
    let rag = rag(&process.connect().await).await;
    let message = rag.message(
        "Run",
        &json!({"query": "tides", "documents": PASSAGES, "top_n": 2}),
    );
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("motet-receipt", "1".parse().expect("ascii"));
    let answer = rag
        .request("Run", request)
        .await
        .expect("an answer")
        .into_inner();
    check_results(&answer, &PASSAGES, 2);
    let receipt = &answer["receipt"];
    let nodes: BTreeMap<&str, &Value> = receipt["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| (node["node"].as_str().expect("a name"), node))
        .collect();
    let names: Vec<&str> = nodes.keys().copied().collect();
    assert_eq!(
        names,
        ["best", "cand", "chunks", "d", "near", "q", "rank", "shown"]
    );
    assert_eq!(nodes["d"]["rows"], 6);
    assert_eq!(nodes["q"]["rows"], 1);
    assert!(nodes["d"]["batch_rows"].as_u64() >= Some(6), "{receipt}");
    let seconds = |value: &Value| -> f64 {
        let text = value.as_str().expect("a duration").trim_end_matches('s');
        text.parse().expect("seconds")
    };
    for node in nodes.values() {
        let parts: f64 = ["queue", "compute", "network"]
            .iter()
            .map(|p| seconds(&node[p]))
            .sum();
        assert!((parts - seconds(&node["total"])).abs() < 1e-6, "{node}");
        assert!(node.get("degraded").is_none_or(|why| why == ""), "{node}");
    }
    assert!(seconds(&nodes["rank"]["compute"]) > 0.0);
    assert!(seconds(&nodes["rank"]["started"]) >= seconds(&nodes["d"]["total"]));
    let path: Vec<&str> = receipt["critical_path"]
        .as_array()
        .expect("a path")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(path.last(), Some(&"shown"));
    assert!(
        path.ends_with(&["near", "cand", "rank", "best", "shown"]),
        "{path:?}"
    );
}

#[tokio::test]
async fn answers_on_a_stream_carry_the_id_of_their_request() {
    let rag = rag(&in_process::connect().await).await;
    let request = |id: usize| {
        let question = QUESTIONS[id % QUESTIONS.len()].0;
        json!({"request_id": id.to_string(), "query": question, "documents": PASSAGES, "top_n": 1})
    };
    let count = 3 * QUESTIONS.len();
    let messages: Vec<_> = (0..count)
        .map(|id| rag.message("RunStream", &request(id)))
        .collect();
    let requests = Request::new(tokio_stream::iter(messages));
    let mut answers = rag.stream("RunStream", requests).await.expect("a stream");
    let mut seen = BTreeMap::new();
    while let Some(answer) = answers.next().await.expect("no error") {
        let id: usize = answer["request_id"]
            .as_str()
            .expect("an id")
            .parse()
            .expect("ours");
        seen.insert(
            id,
            answer["results"][0]["index"].as_u64().expect("an index") as usize,
        );
    }
    let expected = (0..count).map(|id| (id, QUESTIONS[id % QUESTIONS.len()].1));
    assert!(seen.into_iter().eq(expected));
}

#[tokio::test]
async fn a_failed_request_does_not_end_its_stream() {
    let rag = rag(&in_process::connect().await).await;
    let (sender, requests) = mpsc::unbounded_channel();
    let requests = Request::new(UnboundedReceiverStream::new(requests));
    let mut answers = rag.stream("RunStream", requests).await.expect("a stream");
    let mut ask = async |json: Value| {
        sender
            .send(rag.message("RunStream", &json))
            .expect("the stream is open");
        let answer = soon("an answer", answers.next()).await;
        answer.expect("no error").expect("the stream goes on")
    };
    let wrong = ask(json!({"request_id": "bad", "documents": ["a"], "top_n": 0})).await;
    assert_eq!(wrong["request_id"], "bad");
    assert!(wrong.get("results").is_none(), "{wrong}");
    let error = &wrong["error"];
    assert_eq!(error["code"], 3, "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("query") && message.contains("top_n"),
        "{message}"
    );
    let details = error["details"].as_array().expect("details");
    let kinds: Vec<&str> = details.iter().filter_map(|d| d["@type"].as_str()).collect();
    assert_eq!(
        kinds,
        [
            "type.googleapis.com/google.rpc.ErrorInfo",
            "type.googleapis.com/google.rpc.BadRequest"
        ]
    );
    let right = ask(json!({"request_id": "good", "query": "x", "documents": ["a"]})).await;
    assert_eq!(
        (&right["request_id"], &right["results"][0]["text"]),
        (&json!("good"), &json!("a"))
    );
    assert!(right.get("error").is_none());
    // A request without an id is answered without one.
    let nameless = ask(json!({"query": "x", "documents": []})).await;
    assert!(nameless.get("request_id").is_none() && nameless.get("error").is_none());
}

#[tokio::test]
async fn answers_on_a_stream_come_in_the_order_in_which_they_finish() {
    let rag = rag(&in_process::connect().await).await;
    let (sender, requests) = mpsc::unbounded_channel();
    let requests = Request::new(UnboundedReceiverStream::new(requests));
    let mut answers = rag.stream("RunStream", requests).await.expect("a stream");
    // The second request overtakes the first: without documents, only the query is embedded.
    let slow: Vec<String> = (0..24)
        .map(|n| format!("{} {n}", PASSAGES[n % 6].repeat(4)))
        .collect();
    for json in [
        json!({"request_id": "slow", "query": "tides", "documents": slow}),
        json!({"request_id": "quick", "query": "tides", "documents": []}),
    ] {
        sender
            .send(rag.message("RunStream", &json))
            .expect("the stream is open");
    }
    drop(sender);
    let mut order = Vec::new();
    while let Some(answer) = soon("an answer", answers.next()).await.expect("no error") {
        assert!(answer.get("error").is_none(), "{answer}");
        order.push(answer["request_id"].as_str().map(str::to_owned));
    }
    assert_eq!(order, [Some("quick".to_owned()), Some("slow".to_owned())]);
}
