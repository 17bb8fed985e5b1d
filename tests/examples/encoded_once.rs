//! Latency of the built-in pipeline with 16 passages of which 8 are ranked again, of several
//! programs in turns: in one process, and with the models in a process of their own.
//!
//!     cargo build --release && cargo run --release -p motet-tests --example encoded_once -- \
//!         BEFORE target/release/motet [ROUNDS]
//!
//! Every program gets the same requests, each with texts that none has seen, and must give the same
//! answers as the first. Prints the median of each, and its ratio to the first program's.

use std::time::Instant;

use motet_tests::connection::Connection;
use motet_tests::program::{Process, Program};
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use serde_json::{Value, json};

const PASSAGES: usize = 16;
const RANKED: usize = 8;
/// Words of a passage: about 110 tokens, one chunk.
const WORDS: usize = 90;
const ROUNDS: usize = 40;
const VOCABULARY: [&str; 16] = [
    "tide", "moon", "river", "heat", "wing", "flow", "stone", "light", "garden", "engine",
    "letter", "winter", "market", "bridge", "copper", "story",
];

/// A running pipeline, and the processes that it needs.
struct Subject {
    name: String,
    service: Service,
    milliseconds: Vec<f64>,
    _processes: Vec<Process>,
}

#[tokio::main]
async fn main() {
    let mut programs: Vec<String> = std::env::args().skip(1).collect();
    let rounds = programs.last().and_then(|last| last.parse().ok());
    if rounds.is_some() {
        programs.pop();
    }
    assert!(
        !programs.is_empty(),
        "usage: encoded_once PROGRAM... [ROUNDS]"
    );
    let folder = TempDir::new();
    for form in ["one process", "models behind gRPC"] {
        let mut subjects = Vec::new();
        for program in &programs {
            subjects.push(start(program, form, &folder).await);
        }
        // The first rounds are slower.
        measure(&mut subjects, 3, 0).await;
        subjects
            .iter_mut()
            .for_each(|subject| subject.milliseconds.clear());
        measure(&mut subjects, rounds.unwrap_or(ROUNDS), 1000).await;
        println!("{form}");
        let mut first = None;
        for subject in &mut subjects {
            subject.milliseconds.sort_by(f64::total_cmp);
            let median = subject.milliseconds[subject.milliseconds.len() / 2];
            let ratio = median / *first.get_or_insert(median);
            println!("    {:40} {median:7.1} ms  {ratio:.2}", subject.name);
        }
    }
}

async fn start(program: &str, form: &str, folder: &TempDir) -> Subject {
    let built_in = Program::new(program).args(["config"]).run().await.stdout;
    let file = folder.file(
        "motet.yaml",
        built_in.replacen("k: 50", &format!("k: {RANKED}"), 1),
    );
    let mut processes = Vec::new();
    let mut arguments = vec!["up".to_owned()];
    if form != "one process" {
        let models = ["chunker", "minilm", "reranker"];
        let serve = models.iter().flat_map(|name| ["--model", name]);
        let serve = Program::new(program)
            .args(["serve"])
            .args([&file])
            .args(serve);
        let mut serve = serve.on_free_ports().start();
        let address = serve.ready().await.grpc;
        processes.push(serve);
        arguments = vec!["gateway".to_owned()];
        for name in models {
            arguments.extend(["--endpoint".to_owned(), format!("{name}=grpc://{address}")]);
        }
    }
    let gateway = Program::new(program).args(arguments).args([&file]);
    let mut gateway = gateway.on_free_ports().start();
    let address = gateway.ready().await.grpc;
    processes.push(gateway);
    let connection = Connection::open(address).await;
    let service = Service::learn(&connection, "motet.pipeline.Rag").await;
    Subject {
        name: program.to_owned(),
        service: service.expect("the built-in pipeline"),
        milliseconds: Vec::new(),
        _processes: processes,
    }
}

/// Sends every subject the same requests, in turns.
async fn measure(subjects: &mut [Subject], rounds: usize, first: usize) {
    for round in first..first + rounds {
        let request = request(round);
        let mut expected = None;
        for subject in &mut *subjects {
            let began = Instant::now();
            let answer = subject.service.call("Run", request.clone()).await;
            subject
                .milliseconds
                .push(began.elapsed().as_secs_f64() * 1e3);
            let results = answer.expect("an answer")["results"].clone();
            assert_eq!(results.as_array().map(Vec::len), Some(5));
            let expected = expected.get_or_insert_with(|| results.clone());
            assert_eq!(*expected, results, "{}, round {round}", subject.name);
        }
    }
}

fn request(round: usize) -> Value {
    let mut state = round as u64 + 1;
    let mut next = || {
        // A linear congruential generator; its high bits are random enough.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        VOCABULARY[(state >> 60) as usize]
    };
    let mut text = |words: usize| (0..words).map(|_| next()).collect::<Vec<_>>().join(" ");
    let documents: Vec<String> = (0..PASSAGES).map(|_| text(WORDS)).collect();
    json!({ "query": text(6), "documents": documents })
}
