//! Retrieval quality of the built-in pipeline, through gRPC: nDCG@10 over the Cranfield collection,
//! of the 50 nearest documents by cosine, and of the same documents as the pipeline ranks them,
//! each by its best passage.
//!
//!     cargo run --release -p motet-tests --example retrieval -- FOLDER [HOST:PORT]
//!
//! FOLDER contains the collection's files cran.all.1400, cran.qry and cranqrel. Without an address,
//! motet is started in this process. Queries are numbered by their order in cran.qry, as in
//! cranqrel. Its grades are 1 (a complete answer) to 4 (of little interest); -1 marks the paper
//! that the question was drawn from. The gain of -1 is 5; those of 1 to 4 are 4, 3, 2, 1.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use motet_tests::connection::Connection;
use motet_tests::in_process;
use motet_tests::reflected::Service;
use motet_tests::tensors::{floats, raw, texts};
use serde_json::{Value, json};

/// The number of documents sent to the pipeline with each query.
const NEAREST: usize = 50;
/// The most attempts for a query.
const ATTEMPTS: usize = 5;
/// The cutoff of nDCG.
const CUTOFF: usize = 10;
/// The number of texts in one embedding call.
const TEXTS_PER_CALL: usize = 32;
/// The dimensions of an embedding.
const SIZE: usize = 384;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, connection) = match &arguments[..] {
        [folder] => (folder, in_process::connect().await),
        [folder, address] => {
            let address = address.parse().expect("HOST:PORT");
            (folder, Connection::open(address).await)
        }
        _ => panic!("usage: retrieval FOLDER [HOST:PORT]"),
    };
    let read = |file: &str| {
        let path = Path::new(folder).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let documents = bodies(&read("cran.all.1400"));
    let queries = bodies(&read("cran.qry"));
    let gains = gains(&read("cranqrel"));
    println!("{} documents, {} queries", documents.len(), queries.len());

    let document_vectors = embed(&connection, &documents).await;
    let query_vectors = embed(&connection, &queries).await;
    let rag = Service::learn(&connection, "motet.pipeline.Rag").await;
    let rag = rag.expect("the built-in pipeline");
    let (mut by_cosine, mut by_pipeline) = (0.0, 0.0);
    let began = Instant::now();
    for (at, query) in queries.iter().enumerate() {
        let nearest = nearest(&query_vectors[at], &document_vectors);
        let candidates: Vec<&str> = nearest.iter().map(|d| &*documents[*d]).collect();
        let request = json!({"query": query, "documents": candidates, "top_n": 100});
        let answer = ask(&rag, &request).await;
        let order = order(&answer, &nearest);
        by_cosine += ndcg(&nearest, &gains[at]);
        by_pipeline += ndcg(&order, &gains[at]);
    }
    let count = queries.len() as f64;
    println!(
        "nDCG@{CUTOFF}: cosine {:.4}, pipeline over {NEAREST} {:.4}; {:.0} ms a query",
        by_cosine / count,
        by_pipeline / count,
        began.elapsed().as_secs_f64() * 1e3 / count
    );
}

/// Returns the pipeline's answer. On a loaded machine it may miss its deadline: then the call is
/// repeated.
async fn ask(rag: &Service, request: &Value) -> Value {
    for _ in 1..ATTEMPTS {
        match rag.call("Run", request.clone()).await {
            Ok(answer) => return answer,
            Err(error) => eprintln!("again after: {}", error.message()),
        }
    }
    rag.call("Run", request.clone()).await.expect("an answer")
}

/// Returns the text (field .W) of each record of a collection file, on one line.
fn bodies(file: &str) -> Vec<String> {
    let file = format!("\n{file}");
    let records = file.split("\n.I ").skip(1);
    let body = |record: &str| {
        let text = record.split_once("\n.W").map_or("", |(_, text)| text);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    records.map(body).collect()
}

/// Returns for each query the gain of each document that was judged, by the document's index.
fn gains(judgements: &str) -> Vec<HashMap<usize, f64>> {
    let mut gains: Vec<HashMap<usize, f64>> = Vec::new();
    for line in judgements.lines() {
        let numbers: Vec<i64> = line
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        if let [query, document, grade] = numbers[..] {
            let gain = if grade < 1 { 5.0 } else { (5 - grade) as f64 };
            gains.resize_with(gains.len().max(query as usize), HashMap::new);
            gains[query as usize - 1].insert(document as usize - 1, gain);
        }
    }
    gains
}

async fn embed(connection: &Connection, all: &[String]) -> Vec<Vec<f32>> {
    let mut vectors = Vec::with_capacity(all.len());
    for some in all.chunks(TEXTS_PER_CALL) {
        let request = raw("minilm", &[("text", texts(some))]);
        let answer = connection.inference().model_infer(request).await;
        let numbers = floats(&answer.expect("an answer").into_inner(), "embedding");
        vectors.extend(numbers.chunks(SIZE).map(<[f32]>::to_vec));
    }
    vectors
}

/// Returns the documents nearest to a query, nearest first.
fn nearest(query: &[f32], documents: &[Vec<f32>]) -> Vec<usize> {
    let cosine = |d: &Vec<f32>| d.iter().zip(query).map(|(x, y)| x * y).sum::<f32>();
    let mut scored: Vec<(f32, usize)> = documents.iter().map(cosine).zip(0..).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(NEAREST).map(|(_, d)| d).collect()
}

/// Returns the documents of an answer, in the order of their best passages.
fn order(answer: &Value, candidates: &[usize]) -> Vec<usize> {
    let mut order = Vec::new();
    for result in answer["results"].as_array().expect("results") {
        let index = result["index"].as_u64().expect("an index") as usize;
        if !order.contains(&candidates[index]) {
            order.push(candidates[index]);
        }
    }
    order
}

fn ndcg(ranked: &[usize], gains: &HashMap<usize, f64>) -> f64 {
    let discounted = |gains: &[f64]| -> f64 {
        let top = gains.iter().take(CUTOFF).enumerate();
        top.map(|(rank, gain)| gain / (rank as f64 + 2.0).log2())
            .sum()
    };
    let found: Vec<f64> = ranked
        .iter()
        .map(|d| gains.get(d).copied().unwrap_or(0.0))
        .collect();
    let mut ideal: Vec<f64> = gains.values().copied().collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    discounted(&found) / discounted(&ideal)
}
