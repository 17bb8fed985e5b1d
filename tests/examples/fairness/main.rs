//! How fairly a server shares a model among callers over gRPC, as a few tables.
//!
//!     cargo build --release && cargo run --release -p motet-tests --example fairness -- \
//!         target/release/motet [SECONDS [TABLE...]]
//!
//! * `large-calls`: a caller of single rows beside calls of 1,000 rows, and what these lose by it.
//! * `endless`: two callers with endless work, one with many large calls, one with few small ones.
//! * `overload`: more work than the server can do, of texts of three lengths with a deadline of a
//!   second.
//! * `many-callers`: 64 callers in a closed loop, and 2,000.
//!
//! The callers run on the same cores; the last column of the last table is their part of the time.

mod endless;
mod large_calls;
mod many_callers;
mod overload;

use std::net::SocketAddr;
use std::time::Duration;

use motet_proto::inference::ModelInferRequest;
use motet_tests::connection::Connection;
use motet_tests::load::words;
use motet_tests::program::Program;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{raw, texts};
use tonic::Status;

const CONFIG: &str = r#"
models:
  minilm: { task: embed, source: "builtin:all-minilm-l6-v2" }
"#;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (program, seconds, tables) = match &arguments[..] {
        [program] => (program, 10, &[][..]),
        [program, seconds, tables @ ..] => (program, seconds.parse().expect("a number"), tables),
        _ => panic!("usage: fairness PROGRAM [SECONDS [TABLE...]]"),
    };
    let is_wanted = |table: &str| tables.is_empty() || tables.iter().any(|name| name == table);
    let time = Duration::from_secs(seconds);
    let folder = TempDir::new();
    let file = folder.file("motet.yaml", CONFIG);
    let mut motet = Program::new(program)
        .args(["-f".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let address = motet.ready().await.grpc;
    // The first calls are slower.
    large_calls::warm_up(address).await;
    if is_wanted("large-calls") {
        large_calls::measure(address, time).await;
    }
    if is_wanted("endless") {
        endless::measure(address, time).await;
    }
    if is_wanted("overload") {
        overload::measure(address, time).await;
    }
    if is_wanted("many-callers") {
        many_callers::measure(address, time).await;
    }
}

/// Returns a request to embed `rows` texts of `length` words, which differ with `salt`.
fn request(rows: usize, length: usize, salt: usize) -> ModelInferRequest {
    let rows: Vec<_> = (0..rows).map(|row| words(length, salt + row)).collect();
    raw("minilm", &[("text", texts(&rows))])
}

/// Makes a call with a deadline, if it has one.
async fn call(
    connection: &Connection,
    request: ModelInferRequest,
    deadline: Option<Duration>,
) -> Result<(), Status> {
    let mut request = tonic::Request::new(request);
    request.set_timeout(deadline.unwrap_or(Duration::from_secs(600)));
    connection.inference().model_infer(request).await.map(drop)
}

/// Opens a connection of its own for each caller.
async fn connections(count: usize, address: SocketAddr) -> Vec<Connection> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Connection::open(address).await);
    }
    connections
}
