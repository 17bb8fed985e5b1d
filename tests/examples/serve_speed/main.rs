//! Throughput and latency of a server on this machine: embeddings of one text for each request,
//! with different numbers of callers, and a retrieval call. For a single caller, the time of the
//! encoder alone for the same texts is measured in turns with the calls.
//!
//!     cargo build --release && cargo run --release -p motet-tests --example serve_speed -- \
//!         target/release/motet [SECONDS [DTYPE [EXECUTORS]]]
//!
//! Each model has one executor by default, which computes with all cores. The callers run on the
//! same cores.

mod alone;
mod bare;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use motet_models::Precision;
use motet_proto::inference::ModelInferResponse;
use motet_tests::connection::Connection;
use motet_tests::load::{closed_loop, percentile, words};
use motet_tests::program::Program;
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{raw, texts};
use serde_json::json;

/// The shortest and longest text, in words. Lengths are log-uniform.
const WORDS: (f64, f64) = (5.0, 150.0);
const TEXTS: usize = 64;
const PASSAGES: usize = 16;
const PASSAGE_WORDS: usize = 50;
/// A retrieval pipeline that reranks the 8 nearest of a request's passages.
const CONFIG: &str = r#"
models:
  chunker:  { task: preprocess, tokenizer: minilm }
  minilm:
    task: embed
    source: "builtin:all-minilm-l6-v2"
    dtype: DTYPE
    batcher: { executors: EXECUTORS }
  reranker:
    task: rerank
    source: "builtin:all-minilm-l6-v2"
    dtype: DTYPE
    batcher: { executors: EXECUTORS }
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
        with: { k: 8, metric: cosine }
      cand:   { op: gather, in: { text: $chunks.text, source: $chunks.source, index: $near.index } }
      rank:   { model: reranker, in: { query: $query, text: $cand.text } }
    outputs: { score: $rank.score, source: $cand.source }
"#;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (program, seconds, dtype, executors) = match &arguments[..] {
        [bare] if bare == bare::ARGUMENT => return bare::serve().await,
        [program] => (program, "4", "f32", "1"),
        [program, seconds] => (program, &**seconds, "f32", "1"),
        [program, seconds, dtype] => (program, &**seconds, &**dtype, "1"),
        [program, seconds, dtype, executors] => (program, &**seconds, &**dtype, &**executors),
        _ => panic!("usage: serve_speed PROGRAM [SECONDS [DTYPE [EXECUTORS]]]"),
    };
    let seconds = seconds.parse().expect("a number");
    let precision: Precision = dtype.parse().expect("a type");
    let time = Duration::from_secs(seconds);
    let folder = TempDir::new();
    let config = CONFIG.replace("DTYPE", dtype);
    let config = config.replace("EXECUTORS", executors);
    let file = folder.file("motet.yaml", config);
    let mut motet = Program::new(program)
        .args(["-f".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let address = motet.ready().await.grpc;
    let all: Arc<Vec<String>> = Arc::new((0..TEXTS).map(text).collect());

    let texts = all.clone();
    let alone = move || alone::measure(address, precision, &texts, time);
    tokio::task::spawn_blocking(alone)
        .await
        .expect("measurements");
    headings();
    for callers in [1, 8, 16, 32] {
        let (connections, all) = (open(callers, address).await, all.clone());
        let calls = AtomicUsize::new(0);
        let times = closed_loop(callers, time, move |caller, _| {
            let text = all[calls.fetch_add(1, Ordering::Relaxed) % TEXTS].clone();
            let connection = connections[caller].clone();
            async move {
                embed(&connection, &text).await;
            }
        });
        report(callers, time, times.await);
    }
    let passages: Vec<String> = (0..PASSAGES).map(|at| words(PASSAGE_WORDS, at)).collect();
    println!("\na query, {PASSAGES} passages of {PASSAGE_WORDS} words, the nearest 8 reranked");
    headings();
    for callers in [1, 8] {
        let mut services = Vec::new();
        for connection in open(callers, address).await {
            let service = Service::learn(&connection, "motet.pipeline.Rag").await;
            services.push(Arc::new(service.expect("the pipeline")));
        }
        let passages = passages.clone();
        let times = closed_loop(callers, time, move |caller, call| {
            let query = words(8, 1000 * caller + call);
            let request = json!({ "query": query, "documents": passages });
            let rag = services[caller].clone();
            async move { drop(rag.call("Run", request).await.expect("an answer")) }
        });
        report(callers, time, times.await);
    }
    let mb = motet
        .memory_bytes()
        .map_or(f64::NAN, |bytes| bytes as f64 / 1e6);
    println!("\nresident memory after all of it: {mb:.0} MB");
}

/// Embeds one text.
async fn embed(connection: &Connection, text: &str) -> ModelInferResponse {
    let request = raw("minilm", &[("text", texts(&[text]))]);
    let answer = connection.inference().model_infer(request).await;
    answer.expect("an answer").into_inner()
}

/// Opens a connection for each caller.
async fn open(callers: usize, address: SocketAddr) -> Vec<Connection> {
    let mut connections = Vec::new();
    for _ in 0..callers {
        connections.push(Connection::open(address).await);
    }
    connections
}

fn headings() {
    println!(
        "{:>8} {:>10} {:>9} {:>9}",
        "callers", "requests/s", "p50 ms", "p95 ms"
    );
}

fn report(callers: usize, time: Duration, mut times: Vec<f64>) {
    let rate = times.len() as f64 / time.as_secs_f64();
    let (p50, p95) = (percentile(&mut times, 0.5), percentile(&mut times, 0.95));
    println!("{callers:>8} {rate:>10.1} {p50:>9.1} {p95:>9.1}");
}

/// Returns a text whose number of words is log-uniform over `at`, in no particular order.
fn text(at: usize) -> String {
    let share = ((at * 37) % TEXTS) as f64 / (TEXTS - 1) as f64;
    words((WORDS.0 * (WORDS.1 / WORDS.0).powf(share)) as usize, at)
}
