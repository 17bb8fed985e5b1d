//! Loads and unloads a model over and over, and prints the server's resident memory.
//!
//!     cargo build --release && cargo run --release -p motet-tests --example model_cycles -- \
//!         target/release/motet [--cycles 1000] [--source builtin:all-minilm-l6-v2]
//!
//! Memory is what is left when no more of it comes back: an unload is answered before the threads
//! of the model have ended. The first plateau is that after a tenth of the cycles, when every thread
//! has done everything once. Exits with 1 if it is more than 2 % above that in the end.

use std::time::Duration;

use clap::Parser;
use motet_proto::inference::model_repository_parameter::ParameterChoice;
use motet_proto::inference::{
    ModelRepositoryParameter, RepositoryModelLoadRequest, RepositoryModelUnloadRequest,
};
use motet_tests::connection::Connection;
use motet_tests::program::{Process, Program};
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{raw, texts};

/// Number of plateaus that are printed.
const PLATEAUS: usize = 20;
/// Samples of memory, of which the least counts.
const SAMPLES: usize = 40;
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);
/// The most memory in the end, in parts of the first plateau.
const GROWTH_MAX: f64 = 1.02;

#[derive(Parser)]
struct Args {
    /// The program.
    motet: std::path::PathBuf,
    /// Number of cycles.
    #[arg(long, default_value_t = 1000)]
    cycles: usize,
    /// Source of the model.
    #[arg(long, default_value = "builtin:all-minilm-l6-v2")]
    source: String,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let folder = TempDir::new();
    // Something stays, so that the server is one that serves.
    let file = folder.file("motet.yaml", "pipelines: []\n");
    let mut process = Program::new(&args.motet)
        .args(["up", "-f"])
        .args([file])
        .on_free_ports()
        .start();
    let connection = process.connect().await;
    let mut plateaus = Vec::new();
    for plateau in 1..=PLATEAUS {
        for _ in 0..args.cycles / PLATEAUS {
            cycle(&connection, &args.source).await;
        }
        let bytes = at_rest(&process).await;
        println!(
            "{:6} cycles  {:7.1} MB",
            plateau * args.cycles / PLATEAUS,
            bytes as f64 / 1e6
        );
        plateaus.push(bytes as f64);
    }
    let growth = plateaus[PLATEAUS - 1] / plateaus[PLATEAUS / 10 - 1];
    println!("{growth:.4} times the first plateau");
    match growth <= GROWTH_MAX {
        true => std::process::ExitCode::SUCCESS,
        false => std::process::ExitCode::FAILURE,
    }
}

/// Returns the least resident memory within some time.
async fn at_rest(process: &Process) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..SAMPLES {
        let bytes = process.memory_bytes();
        least = least.min(bytes.expect("Linux tells the memory of a process"));
        tokio::time::sleep(SAMPLE_INTERVAL).await;
    }
    least
}

/// Loads a model, calls it once, and unloads it.
async fn cycle(connection: &Connection, source: &str) {
    let mut client = connection.inference();
    let text = format!("models: {{ cycled: {{ task: embed, source: \"{source}\" }} }}");
    let config = ModelRepositoryParameter {
        parameter_choice: Some(ParameterChoice::StringParam(text)),
    };
    let load = RepositoryModelLoadRequest {
        model_name: "cycled".to_owned(),
        parameters: [("config".to_owned(), config)].into(),
        ..RepositoryModelLoadRequest::default()
    };
    client
        .repository_model_load(load)
        .await
        .expect("it is loaded");
    let request = raw("cycled", &[("text", texts(&["tides and moons"]))]);
    client.model_infer(request).await.expect("an answer");
    let unload = RepositoryModelUnloadRequest {
        model_name: "cycled".to_owned(),
        ..RepositoryModelUnloadRequest::default()
    };
    client
        .repository_model_unload(unload)
        .await
        .expect("it is unloaded");
}
