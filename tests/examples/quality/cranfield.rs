//! The Cranfield collection: abstracts, questions, and people's judgements.
//!
//! Questions are numbered by their order in cran.qry, as in cranqrel. Its grades are 1 (a complete
//! answer) to 4 (of little interest); -1 marks the paper that the question was drawn from. The gain
//! of -1 is 5; those of 1 to 4 are 4, 3, 2, 1.

use std::collections::HashMap;
use std::path::Path;

use motet_tests::reflected::Service;
use serde_json::{Value, json};

use crate::{Embedder, cosine};

/// The number of documents sent to the pipeline with each query.
const NEAREST: usize = 50;
/// The most attempts for a query.
const ATTEMPTS: usize = 5;
/// The cutoff of nDCG.
const CUTOFF: usize = 10;

pub(crate) struct Collection {
    documents: Vec<String>,
    queries: Vec<String>,
    /// For each query the gain of each document that was judged, by the document's index.
    gains: Vec<HashMap<usize, f64>>,
}

impl Collection {
    pub(crate) fn read(folder: &Path) -> Self {
        let read = |file: &str| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        Self {
            documents: bodies(&read("cran.all.1400")),
            queries: bodies(&read("cran.qry")),
            gains: gains(&read("cranqrel")),
        }
    }

    /// Returns the mean nDCG of the documents in the order of their cosines.
    pub(crate) async fn by_cosine(&self, embedder: &Embedder<'_>) -> f64 {
        let nearest = self.nearest(embedder).await;
        self.mean(nearest.iter().map(Vec::as_slice))
    }

    /// Returns the mean nDCG of the nearest documents in the order of the built-in pipeline, each
    /// by its best passage; `None` if the server has no such pipeline.
    pub(crate) async fn by_pipeline(&self, embedder: &Embedder<'_>) -> Option<f64> {
        let rag = Service::learn(embedder.connection, "motet.pipeline.Rag").await;
        let rag = rag.ok()?;
        let mut orders = Vec::new();
        for (query, nearest) in self.queries.iter().zip(self.nearest(embedder).await) {
            let candidates: Vec<&str> = nearest.iter().map(|d| &*self.documents[*d]).collect();
            let request = json!({"query": query, "documents": candidates, "top_n": 100});
            orders.push(order(&ask(&rag, &request).await, &nearest));
        }
        Some(self.mean(orders.iter().map(Vec::as_slice)))
    }

    /// Returns the documents nearest to each query, nearest first.
    async fn nearest(&self, embedder: &Embedder<'_>) -> Vec<Vec<usize>> {
        let documents = embedder.documents(&self.documents).await;
        let queries = embedder.queries(&self.queries).await;
        let nearest = |query: &Vec<f32>| {
            let cosines = documents.iter().map(|d| cosine(d, query));
            let mut scored: Vec<(f32, usize)> = cosines.zip(0..).collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            scored.into_iter().take(NEAREST).map(|(_, d)| d).collect()
        };
        queries.iter().map(nearest).collect()
    }

    fn mean<'o>(&self, orders: impl Iterator<Item = &'o [usize]>) -> f64 {
        let each = orders.zip(&self.gains);
        each.map(|(order, gains)| ndcg(order, gains)).sum::<f64>() / self.queries.len() as f64
    }
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
