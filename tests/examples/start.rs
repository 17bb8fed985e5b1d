//! Startup time and memory: the time from start to the ready line, the durations of the first
//! answers, and resident memory before and after them.
//!
//!     cargo build --release && cargo run --release -p motet-tests --example start -- \
//!         target/release/motet [TIMES]

use std::time::Instant;

use motet_tests::connection::Connection;
use motet_tests::program::Program;
use motet_tests::reflected::Service;
use serde_json::json;

/// The number of answers that are timed after each start.
const ANSWERS: usize = 10;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (program, times) = match &arguments[..] {
        [program] => (program, 5),
        [program, times] => (program, times.parse().expect("a number")),
        _ => panic!("usage: start PROGRAM [TIMES]"),
    };
    println!("{program}, {times} starts");
    println!("ready_s  memory_mb  after_answers_mb  answers_ms");
    for _ in 0..times {
        measure(program).await;
    }
}

async fn measure(program: &str) {
    let began = Instant::now();
    let mut motet = Program::new(program).on_free_ports().start();
    let ready = motet.ready().await;
    let ready_s = began.elapsed().as_secs_f64();
    let mb = |bytes: Option<u64>| bytes.map_or(f64::NAN, |b| b as f64 / 1e6);
    let memory = mb(motet.memory_bytes());
    let connection = Connection::open(ready.grpc).await;
    let rag = Service::learn(&connection, "motet.pipeline.Rag").await;
    let rag = rag.expect("the built-in pipeline");
    let documents: Vec<String> = (0..10)
        .map(|n| format!("Passage {n} says that the tide follows the moon, and why. ").repeat(4))
        .collect();
    let mut answers = Vec::new();
    for _ in 0..ANSWERS {
        let began = Instant::now();
        let request = json!({"query": "what causes tides", "documents": documents});
        rag.call("Run", request).await.expect("an answer");
        answers.push(format!("{:.1}", began.elapsed().as_secs_f64() * 1e3));
    }
    println!(
        "{ready_s:>7.2}  {memory:>9.0}  {:>16.0}  {}",
        mb(motet.memory_bytes()),
        answers.join(" ")
    );
}
