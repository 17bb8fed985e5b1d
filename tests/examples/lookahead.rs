//! The gain of lookahead, by which a gateway announces rows to models before it sends them, for a
//! retrieval pipeline: the query and the chunks of the documents are embedded by one model, in two
//! calls one after the other.
//!
//!     cargo build --release && cargo run --release -p motet-tests --example lookahead -- \
//!         target/release/motet [ROUNDS]
//!
//! Two servers that differ only in `batcher: { lookahead: false }` are called in turns, by equal
//! numbers of callers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use motet_tests::connection::Connection;
use motet_tests::http::Metrics;
use motet_tests::load::{closed_loop, percentile, words};
use motet_tests::program::{Process, Program};
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use serde_json::json;

/// The duration of one turn of one server.
const TURN: Duration = Duration::from_secs(2);
const PASSAGES: usize = 8;
const PASSAGE_WORDS: usize = 30;
const CONFIG: &str = r#"
models:
  chunker:  { task: preprocess, tokenizer: minilm }
  minilm:   { task: embed, source: "builtin:all-minilm-l6-v2", batcher: { lookahead: LOOKAHEAD } }
  reranker: { task: rerank, source: "builtin:all-minilm-l6-v2", batcher: { lookahead: LOOKAHEAD } }
pipelines:
  - pipeline: rag
    inputs: { query: string, documents: "string[N]" }
    nodes:
      chunks: { model: chunker, in: { text: $documents } }
      q:      { model: minilm,  in: { text: $query } }
      d:      { model: minilm,  in: { text: $chunks.text } }
      near:
        op: topk
        in: { query: $q.embedding, keys: $d.embedding }
        with: { k: 4, metric: cosine }
      cand:   { op: gather, in: { text: $chunks.text, index: $near.index } }
      rank:   { model: reranker, in: { query: $query, text: $cand.text } }
    outputs: { score: $rank.score }
"#;

/// A server and the durations of its calls, in milliseconds.
struct Side {
    name: &'static str,
    _process: Process,
    grpc: SocketAddr,
    http: SocketAddr,
    times: Vec<f64>,
}

impl Side {
    async fn start(program: &str, name: &'static str, lookahead: bool, folder: &TempDir) -> Self {
        let config = CONFIG.replace("LOOKAHEAD", &lookahead.to_string());
        let file = folder.file(&format!("{lookahead}.yaml"), config);
        let mut process = Program::new(program)
            .args(["-f".as_ref(), file.as_os_str()])
            .on_free_ports()
            .start();
        let ready = process.ready().await;
        Self {
            name,
            _process: process,
            grpc: ready.grpc,
            http: ready.http.expect("a port"),
            times: Vec::new(),
        }
    }

    async fn turn(&mut self, callers: usize) {
        let mut services = Vec::new();
        for _ in 0..callers {
            let connection = Connection::open(self.grpc).await;
            let service = Service::learn(&connection, "motet.pipeline.Rag").await;
            services.push(Arc::new(service.expect("the pipeline")));
        }
        let passages: Vec<String> = (0..PASSAGES).map(|at| words(PASSAGE_WORDS, at)).collect();
        let times = closed_loop(callers, TURN, move |caller, call| {
            let query = words(8, 1000 * caller + call);
            let request = json!({ "query": query, "documents": passages });
            let rag = services[caller].clone();
            async move { drop(rag.call("Run", request).await.expect("an answer")) }
        });
        self.times.extend(times.await);
    }

    /// Returns the number of batches of the embedding model so far, and of their rows.
    async fn batches(&self) -> (f64, f64) {
        let metrics = Metrics::read(self.http).await;
        let of = |name: &str| metrics.count(name, &[("model", "minilm")]);
        (of("motet_batch_rows_count"), of("motet_batch_rows_sum"))
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (program, rounds) = match &arguments[..] {
        [program] => (program, 4),
        [program, rounds] => (program, rounds.parse().expect("a number")),
        _ => panic!("usage: lookahead PROGRAM [ROUNDS]"),
    };
    let folder = TempDir::new();
    let mut sides = [
        Side::start(program, "announced", true, &folder).await,
        Side::start(program, "not", false, &folder).await,
    ];
    println!(
        "{:>8} {:>10} {:>11} {:>9} {:>9} {:>21}",
        "callers", "rows", "requests/s", "p50 ms", "p95 ms", "rows a batch (embed)"
    );
    for callers in [1, 8, 32] {
        let mut before = Vec::new();
        for side in &mut sides {
            // The first turn is warm-up: the batcher learns.
            side.turn(callers).await;
            side.times.clear();
            before.push(side.batches().await);
        }
        for _ in 0..rounds {
            for side in &mut sides {
                side.turn(callers).await;
            }
        }
        for (side, before) in sides.iter_mut().zip(before) {
            let after = side.batches().await;
            let rate = side.times.len() as f64 / (TURN.as_secs_f64() * rounds as f64);
            println!(
                "{callers:>8} {:>10} {rate:>11.1} {:>9.1} {:>9.1} {:>21.1}",
                side.name,
                percentile(&mut side.times, 0.5),
                percentile(&mut side.times, 0.95),
                (after.1 - before.1) / (after.0 - before.0),
            );
        }
    }
}
