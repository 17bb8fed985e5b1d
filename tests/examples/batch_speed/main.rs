//! The rows a second of a batch beside those of the encoder alone, and what it takes from
//! interactive callers of the same model.
//!
//!     cargo build --release && cargo run --release -p motet-tests --example batch_speed -- \
//!         target/release/motet [SECONDS [ROUNDS [TABLE...]]]
//!
//! * `alone`: `motet batch` with the model in its own process, in turns with the encoder.
//! * `beside`: `motet batch --to` a server that interactive callers use as well, in turns with the
//!   callers alone and the batch alone.
//!
//! The callers run on the same cores.

mod alone;
mod beside;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use motet_tests::load::words;
use motet_tests::temp_dir::TempDir;

/// The shortest and longest text, in words. Lengths are log-uniform.
const WORDS: (f64, f64) = (5.0, 150.0);
const LENGTHS: usize = 64;
/// More rows than a batch can answer in the time of all turns.
const ROWS: usize = 500_000;
const CONFIG: &str = r#"
models:
  minilm: { task: embed, source: "builtin:all-minilm-l6-v2" }
pipelines:
  - pipeline: vectors
    inputs: { text: string }
    nodes:
      v: { model: minilm, in: { text: $text } }
    outputs: { vector: $v.embedding }
"#;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (program, seconds, rounds, tables) = match &arguments[..] {
        [program] => (program, "20", "3", &[][..]),
        [program, seconds] => (program, &**seconds, "3", &[][..]),
        [program, seconds, rounds, tables @ ..] => (program, &**seconds, &**rounds, tables),
        [] => panic!("usage: batch_speed PROGRAM [SECONDS [ROUNDS [TABLE...]]]"),
    };
    let time = Duration::from_secs(seconds.parse().expect("a number"));
    let rounds = rounds.parse().expect("a number");
    let folder = TempDir::new();
    let files = Files {
        configuration: folder.file("motet.yaml", CONFIG),
        rows: folder.file("rows.jsonl", rows()),
    };
    let wanted = |table: &str| tables.is_empty() || tables.iter().any(|wanted| wanted == table);
    if wanted("alone") {
        alone::measure(program, &files, &folder, time, rounds).await;
    }
    if wanted("beside") {
        beside::measure(program, &files, &folder, time, rounds).await;
    }
}

/// The files of a batch.
struct Files {
    configuration: PathBuf,
    rows: PathBuf,
}

/// Returns the lines of the input.
fn rows() -> String {
    let mut lines = String::new();
    for at in 0..ROWS {
        writeln!(lines, r#"{{"text":"{}"}}"#, text(at)).expect("memory");
    }
    lines
}

/// Returns a text of its own for each `at`.
fn text(at: usize) -> String {
    let share = ((at * 37) % LENGTHS) as f64 / (LENGTHS - 1) as f64;
    let count = (WORDS.0 * (WORDS.1 / WORDS.0).powf(share)) as usize;
    format!("{at} {}", words(count, at))
}
